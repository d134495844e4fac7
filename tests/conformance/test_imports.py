"""The house: who may import whom (WORKSPACE.md has the map)."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "tf_metamixup"
FLOORS = {
    "errors registry config paper rendezvous whole_file": 0,
    "diagnostics losses schedules replicas randomness precision evaluation image_files": 0,
    "mixing hypergradient top network batch kept_features remembered_losses lambda_net": 1,
    "models data devices workers": 1,
    "policies methods": 2,
    "step": 3,
    "history checkpoints run_directory stopping pictures summaries record export card litert": 4,
    "trainer loop assembly rebuild comparison results keras_model": 4,
    "main benchmark keras_fit scale report predict figures": 5,
}
FLOOR = {room: floor for rooms, floor in FLOORS.items() for room in rooms.split()}
COMMANDS = {room for room, floor in FLOOR.items() if floor == 5}
# Rooms that know nothing of a library, beside floors: (room, what it may not import).
BARRED = [
    *(
        (room, "tensorflow")
        for room in (
            "errors",
            "registry",
            "config",
            "paper",
            "rendezvous",
            "whole_file",
            "report",
            "results",
            "pictures",
        )
    ),
    *((room, "keras") for room in ("hypergradient", "mixing", "losses", "policies")),
    ("policies", "tf_metamixup.methods"),
    ("methods", "tf_metamixup.policies"),
    ("methods", "tf_metamixup.data"),
    ("models", "tf_metamixup.data"),
    ("models", "tf_metamixup.losses"),
    ("data", "tf_metamixup.models"),
    ("data", "tf_metamixup.methods"),
    ("step", "tf_metamixup.data"),
]


# What methods derive from.
BASES = ("method", "consistency")


def files():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Absolute names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path):
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tf_metamixup" and len(parts) > 1 and parts[1] in FLOOR:
            yield parts[1]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_only_downwards(path):
    room = room_of(path)
    assert room in FLOOR, f"{room} has no floor: add it to the map in WORKSPACE.md and here"
    for other in rooms_imported(path):
        assert FLOOR[other] <= FLOOR[room], f"{room} imports {other} from a floor above"


@pytest.mark.parametrize(("room", "barred"), BARRED)
def test_rooms_do_not_know_what_they_must_not(room, barred):
    for path in files():
        if room_of(path) == room:
            found = [name for name in imports(path) if (name + ".").startswith(barred + ".")]
            assert not found, f"{path} imports {found}"


def test_only_commands_read_flags():
    for path in files():
        if room_of(path) not in COMMANDS:
            assert not [n for n in imports(path) if n.split(".")[0] == "absl"], path


def test_methods_do_not_know_each_other():
    for path in sorted((PACKAGE / "methods").glob("*.py")):
        if path.name not in ("__init__.py", *(f"{base}.py" for base in BASES)):
            others = [
                n
                for n in imports(path)
                if n.startswith("tf_metamixup.methods.") and n.split(".")[2] not in BASES
            ]
            assert not others, f"{path} imports {others}"


def test_every_file_stands_in_the_map():
    text = (PACKAGE.parent / "WORKSPACE.md").read_text()
    for room in FLOOR:
        assert f"`{room}.py`" in text or f"`{room}/`" in text, f"WORKSPACE.md has no {room}"
