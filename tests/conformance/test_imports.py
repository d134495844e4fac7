"""The house: who may import whom (WORKSPACE.md has the map)."""

import ast
import functools
import graphlib
import importlib
import inspect
import pathlib
import re
import types

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "tf_metamixup"
FLOORS = {
    "losses core": 0,
    "config distribution": 1,
    "models mixing hypergradient data": 2,
    "policies methods": 3,
    "runs export": 4,
    "training": 5,
    "experiment cli": 6,
    "main predict report figures benchmark": 7,
    "__main__": 8,
}
FLOOR = {room: floor for rooms, floor in FLOORS.items() for room in rooms.split()}
COMMANDS = {room for room, floor in FLOOR.items() if floor == 7} | {"cli"}
# What a room or a file of it may not import, beside floors.
BARRED = [
    *(
        (place, "tensorflow")
        for place in (
            "__main__",
            "core/errors",
            "core/extras",
            "core/flagfiles",
            "core/registry",
            "config",
            "distribution/rendezvous",
            "runs/atomic",
            "runs/results",
            "runs/tensorboard_images",
            "report",
        )
    ),
    *((place, "keras") for place in ("hypergradient", "mixing", "losses", "policies")),
    ("policies", "tf_metamixup.methods"),
    ("methods", "tf_metamixup.policies"),
    ("methods", "tf_metamixup.data"),
    ("models", "tf_metamixup.data"),
    ("models", "tf_metamixup.losses"),
    ("data", "tf_metamixup.models"),
    ("data", "tf_metamixup.methods"),
    ("training/step", "tf_metamixup.data"),
]


DOCUMENTED = (types.FunctionType, property, classmethod, staticmethod, functools.cached_property)
# What methods derive from.
BASES = ("guessing", "method", "consistency", "label_judge", "batch")


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


def test_no_circle_of_rooms():
    arrows = {room: set() for room in FLOOR}
    for path in files():
        arrows[room_of(path)] |= {*rooms_imported(path)} - {room_of(path)}
    graphlib.TopologicalSorter(arrows).prepare()  # raises where there is one


@pytest.mark.parametrize(("place", "barred"), BARRED)
def test_rooms_do_not_know_what_they_must_not(place, barred):
    inside = [
        path
        for path in files()
        if f"{path.relative_to(PACKAGE).with_suffix('')}/".startswith(f"{place}/")
    ]
    assert inside
    for path in inside:
        found = [name for name in imports(path) if (name + ".").startswith(barred + ".")]
        assert not found, f"{path} imports {found}"


def test_the_top_of_the_package_has_at_most_22_entries():
    # `py.typed` is a mark for type checkers, and must lie there.
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    assert len(entries) <= 22


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_have_at_most_300_lines_and_classes_200(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < 200, node.name


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_docstrings_begin_with_a_verb(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
            assert re.match(r"[A-Z][a-z]+s\b", text), f"{node.name}: {text.splitlines()[0]}"


def test_public_methods_have_a_docstring_or_inherit_one():
    for path in files():
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for found in vars(importlib.import_module(name.removesuffix(".__init__"))).values():
            if inspect.isclass(found) and found.__module__ == name:
                for place, member in vars(found).items():
                    # An attribute that a property overrides is documented with its class.
                    inherited = any(place in vars(base) for base in found.__mro__[1:])
                    if not (inherited or place.startswith("_")) and isinstance(member, DOCUMENTED):
                        patched = "<locals>" in getattr(member, "__qualname__", "")
                        assert patched or inspect.getdoc(member), f"{found}.{place}"


def test_only_commands_read_flags():
    for path in files():
        if room_of(path) not in COMMANDS:
            assert not [n for n in imports(path) if n.split(".")[0] == "absl"], path


# What the extras of pyproject.toml install, and who may import it: files that are themselves
# imported within `extras.needed`.
OPTIONAL = {
    "tensorflow_datasets": ("data/tfds_source.py", "data/streamed.py"),
    "tensorboard": ("runs/tensorboard.py",),
    "matplotlib": ("figures/", "runs/tensorboard_images.py", "runs/fonts.py"),
    "scipy": ("figures/", "report/comparison.py"),
    "sklearn": (),
    "requests": (),
}


@pytest.mark.parametrize("package", OPTIONAL)
def test_optional_dependencies_are_imported_where_they_are_needed(package):
    for path in files():
        if package in {name.split(".")[0] for name in imports(path)}:
            place = str(path.relative_to(PACKAGE))
            assert place.startswith(OPTIONAL[package]), f"{place} imports {package}"


def test_methods_do_not_know_each_other():
    for path in sorted((PACKAGE / "methods").glob("*.py")):
        if path.name not in ("__init__.py", *(f"{base}.py" for base in BASES)):
            others = [
                n
                for n in imports(path)
                if n.startswith("tf_metamixup.methods.") and n.split(".")[2] not in BASES
            ]
            assert not others, f"{path} imports {others}"


def test_every_room_stands_in_the_map_and_every_file_of_those_that_list_theirs():
    text = (PACKAGE.parent / "WORKSPACE.md").read_text()
    for room in FLOOR:
        assert f"`{room}.py`" in text or f"`{room}/`" in text, f"WORKSPACE.md has no {room}"
    for room in ("core", "data", "distribution", "export", "runs", "training"):
        for path in (PACKAGE / room).glob("[!_]*.py"):
            assert f"`{path.stem}`" in text, f"WORKSPACE.md has no {room}/{path.stem}"
