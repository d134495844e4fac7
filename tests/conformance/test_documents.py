"""What the documents, flags/ and launch/ say is true: commands parse, links resolve, examples run.

A fenced block below `<!-- test: run NAME -->` is run by a test. Blocks of one NAME on a page run in
their order, as one session in an empty folder; `steps=N` in the marker shortens training. A block
below `<!-- test: example NAME -->` is used by a test of its own.
"""

import dataclasses
import itertools
import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from benchmark import replicas, streaming
from tests.outcome import result_of
from tf_metamixup import data, experiment, main, methods, predict
from tf_metamixup.__main__ import COMMANDS as CONSOLE
from tf_metamixup.benchmark import __main__ as benchmark
from tf_metamixup.config import Config
from tf_metamixup.figures import __main__ as figures
from tf_metamixup.report import audit

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("README", "WORKSPACE", "CHANGELOG", "CONTRIBUTING")),
    *PAGES,
]
FLAGFILES = sorted((ROOT / "flags").rglob("*.flags"))
SCRIPTS = [*sorted((ROOT / "launch").glob("*.sh")), ROOT / ".ci" / "run"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
MARKED = re.compile(
    r"^<!-- test: (\w+) (\w+)(?: steps=(\d+))? -->\n```(\w+)\n(.*?)^```", re.S | re.M
)
COMMAND = re.compile(r"python (?:-m tf_metamixup\.|(?=benchmark/))([\w./]+)((?:[^\n`\\]|\\\n)*)")


def commands():
    """(file, module, arguments) of each command in the documents, flagfiles and scripts."""
    for path in (*DOCUMENTS, *FLAGFILES, *SCRIPTS):
        text = path.read_text()
        if path.suffix == ".md":
            text = "".join(block for language, block in FENCE.findall(text) if language == "bash")
        text = text.replace("\\\n", " ")
        text = re.sub(
            r"^metamixup (\w+)", lambda m: f"python -m {CONSOLE[m[1]][0]}", text, flags=re.M
        )
        for module, rest in COMMAND.findall(text):
            if "$*" not in rest:
                yield path.name, module, shlex.split(rest, comments=True)
        if path.name == "quickstart.sh":
            for line in re.findall(r"^train (.*)$", text, re.M):
                yield path.name, "main", shlex.split(line)


def test_every_setting_has_its_flag_on_the_page_of_the_command_line():
    page = (ROOT / "docs" / "cli.md").read_text()
    assert not [f.name for f in dataclasses.fields(Config) if f"`--{f.name}`" not in page]


@pytest.mark.parametrize(("file", "module", "arguments"), list(commands()))
def test_every_command_parses(file, module, arguments, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    if module == "report":
        options = r"--table=([1-5]|\$table)|--against=.+"
        folders = [a for a in arguments if not re.fullmatch(options, a)]
        assert len(folders) == 1
    elif module == "figures":
        figures.parse([module, *arguments])
    elif "--help" in arguments:
        with pytest.raises(SystemExit):
            main.parse([module, *arguments])
        assert "--dataset" in capsys.readouterr().out
    else:
        known = {
            "main": main,
            "benchmark": benchmark,
            "benchmark/replicas.py": replicas,
            "benchmark/streaming.py": streaming,
            "predict": predict,
            "report.audit": audit,
        }
        parse = known[module].parse
        config = parse([module, *arguments])
        if module == "main":
            experiment.canonical(config)


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda p: p.stem)
def test_every_flagfile_says_what_it_is_and_parses(path):
    assert path.read_text().startswith("# ")
    arguments = ["main", f"--flagfile={path}"]
    if methods.make(main.parse(arguments).method).views:
        arguments.append("--mode=ssl")  # which flags/ssl.flags brings in the commands
    experiment.canonical(main.parse(arguments))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_every_script_is_valid_bash(path):
    subprocess.run(["bash", "-n", path], check=True)


def test_quickstart_lets_the_threshold_fall_at_least_twice():
    config = main.parse(["main", f"--flagfile={ROOT / 'flags' / 'quickstart.flags'}"])
    method = methods.make(config.method)
    assert method.decay > 0 and (config.epochs - 1) // method.period >= 2


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_module_that_a_document_runs_exists(path):
    text = path.read_text()
    for module in re.findall(r"python -m tf_metamixup\.([\w.]*\w)", text):
        place = ROOT / "tf_metamixup" / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    for script in re.findall(r"benchmark/[\w/]+\.py", text):
        assert (ROOT / script).exists(), script


def prose(text):
    """A document without its fenced blocks."""
    return FENCE.sub("", text)


def anchors(path):
    """The fragments of the headings of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_link_leads_to_a_file_and_a_heading(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link
        if path in PAGES:
            assert (ROOT / "docs") in target.parents, f"{link} leads out of the site"


def test_every_picture_is_shown_and_every_page_is_in_the_site():
    linked = {
        (path.parent / picture).resolve()
        for path in DOCUMENTS
        for picture in re.findall(r"!\[[^]]+\]\((.+?)\)", path.read_text())
    }
    assert linked == set((ROOT / "docs").rglob("*.png")) and len(linked) == 10
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = set(re.findall(r"[\w/]+\.md", str(site)))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in PAGES}
    index = (ROOT / "docs" / "index.md").read_text()
    readme = (ROOT / "README.md").read_text()
    for page in listed - {"index.md"}:
        assert f"({page})" in index
        assert f"(docs/{page}" in readme or page == "api.md"


@pytest.mark.parametrize(
    ("name", "lines", "size"), [("README", 170, 10_000), ("WORKSPACE", 140, None)]
)
def test_the_first_documents_stay_short(name, lines, size):
    content = (ROOT / f"{name}.md").read_bytes()
    assert len(content.splitlines()) <= lines
    assert size is None or len(content) <= size


def test_the_readme_names_no_path_commit_or_machine():
    text = (ROOT / "README.md").read_text()
    commits = [w for w in re.findall(r"\b[0-9a-f]{7,40}\b", text) if re.search("[a-f]", w)]
    assert not commits
    assert not re.search(r"\.\./|/home/|/tmp/|/work\b|Xeon|EPYC|Ryzen|Core i\d", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_lines_are_under_100_characters(path):
    for line in path.read_text().splitlines():
        # Tables, addresses and lines that a command printed may be longer.
        if not line.startswith(("|", '{"')) and "https://" not in line:
            assert len(line) <= 100, line


def marked(kind, page=None):
    """(page, name, steps, language, block) of the marked blocks, in their order."""
    for path in DOCUMENTS:
        place = str(path.relative_to(ROOT))
        for found, name, steps, language, block in MARKED.findall(path.read_text()):
            if found == kind and page in (None, place):
                yield place, name, steps, language, block


def test_every_marker_is_of_a_known_kind_and_above_a_block():
    for path in DOCUMENTS:
        text = path.read_text()
        kinds = [kind for kind, *_ in MARKED.findall(text)]
        assert len(kinds) == text.count("<!-- test:") - text.count("`<!-- test:"), path
        assert set(kinds) <= {"run", "example"}, path


def example(page, name):
    """The block of a page that is marked as the example `name`."""
    (block,) = (block for _, found, *_, block in marked("example", page) if found == name)
    return block


# TensorBoard's pictures take most of the time of a short run.
# Examples do not seed their weights, and what is asserted of them should not be by chance.
BEFORE = """
import keras
from tf_metamixup.runs.recorder import Recorder
keras.utils.set_random_seed(0)
Recorder.pictures = lambda *_: None
"""


def run(block, folder):
    """A Python example, as a user runs it in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + block],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def carry_out(block):
    """The commands of a block, in this process, on small networks and for an epoch."""
    small = ["--epochs=1", "--architecture=cnn3(width=2)"]
    for module, rest in COMMAND.findall(block.replace("\\\n", " ")):
        arguments = [module, *shlex.split(rest)]
        if module == "main":
            main.train(experiment.canonical(main.parse([*arguments, *small])))
        else:
            known = {"predict": predict, "figures": figures, "report.audit": audit}
            assert known[module].main(arguments) == 0


def check_result(folder, run_dir, most):
    result = result_of(folder / "runs" / run_dir)
    assert result["status"] == "finished"
    assert result["test_error"] < most  # of ten classes
    return result


def check_readme(folder, output):
    del output
    check_result(folder, "mine", 30)
    check_result(folder, "few", 50)
    assert (folder / "digits.keras").exists()
    assert (folder / "runs" / "mine" / "saved_model").exists()


def check_trainer(folder, output):
    del output
    check_result(folder, "python", 30)
    assert (folder / "digits.keras").exists()


def check_photos(folder, output):
    lines = [json.loads(line) for line in output.splitlines() if line[:1] == "{"]
    assert len(lines) == len(list(folder.glob("photos/test/digit_3/*.png")))
    assert all(line["class"].startswith("digit_") for line in lines)
    assert len((folder / "runs" / "photos" / "labels.csv").read_text().splitlines()) == 1 + 1437


def check_products(folder, output):
    del output
    result = result_of(folder / "runs" / "products")
    assert result["labels_used"] == 360  # the trusted images are trained on too
    assert result["class_errors"].keys() == {"apple", "lemon", "plum"}
    splits = json.loads((folder / "runs" / "products" / "splits.json").read_text())
    table = data.table(folder / "products.csv", image_size=8, in_memory="no")
    assert (len(splits["unlabelled"]), len(splits["meta"])) == (3000, 60)
    assert (len(table.unlabelled), len(table.trusted), len(table.test)) == (3000, 60, 300)


def check_method(folder, output):
    del output
    result = result_of(folder / "runs" / "focal")
    assert result["method"] == "Focal(gamma=3.0)"
    # The cross-entropy cannot fall below the entropy of the mixed targets.
    (epoch,) = result["history"]
    assert 0 < epoch["train_loss"] < epoch["mixing_entropy"]


def check_policy(folder, output):
    del output
    result = result_of(folder / "runs" / "above")
    assert result["policy"] == "UniformAbove(low=0.7)"
    assert 0.75 < result["history"][-1]["lambda_mean"] < 0.95


def check_tour(folder, output):
    del output
    assert (folder / "figures" / "figure6.png").exists()


def check_nothing(folder, output):
    del folder, output


# What is left behind by the marked blocks of a page and name.
SESSIONS = {
    ("README.md", "python"): check_readme,
    ("docs/python_api.md", "trainer"): check_trainer,
    ("docs/python_api.md", "mathematics"): check_nothing,
    ("docs/own_data.md", "photos"): check_photos,
    ("docs/own_data.md", "products"): check_products,
    ("docs/deployment.md", "digits"): check_nothing,
    ("docs/extending.md", "method"): check_method,
    ("docs/extending.md", "policy"): check_policy,
    ("docs/figures.md", "tour"): check_tour,
}


def test_every_block_marked_to_run_belongs_to_a_session():
    assert {(page, name) for page, name, *_ in marked("run")} == SESSIONS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("page", "name"), SESSIONS)
def test_the_blocks_marked_to_run_do(page, name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    blocks = [
        (language, re.sub(r"\bsteps=\d+", f"steps={steps}", block) if steps else block)
        for _, found, steps, language, block in marked("run", page)
        if found == name
    ]
    for language, following in itertools.groupby(blocks, key=lambda block: block[0]):
        block = "".join(text for _, text in following)
        if language == "python":
            run(block, tmp_path)
        else:
            carry_out(block)
    SESSIONS[page, name](tmp_path, capfd.readouterr().out)


def test_a_method_is_added_in_under_30_lines():
    blocks = {name: block for _, name, *_, block in marked("run", "docs/extending.md")}
    assert blocks.keys() == {"method", "policy"}
    assert all(len(block.splitlines()) < 30 for block in blocks.values())


def test_an_architecture_is_added_by_one_function(monkeypatch):
    from tf_metamixup import models
    from tf_metamixup.core.registry import Registry

    monkeypatch.setattr(models, "MODELS", Registry("architecture"))
    exec(example("docs/extending.md", "architecture"), {})
    model = models.make("mlp(width=5)", (4, 4, 1), 3)
    assert model.count_params() == 16 * 5 + 5 + 5 * 3 + 3


@pytest.mark.slow
def test_a_data_set_is_added_by_one_function(tmp_path):
    train = """
from tf_metamixup import experiment, main
flags = "--dataset=stripes --architecture=cnn3(width=4) --batch_size=20 --epochs=8 --run_dir=run"
flags += " --policy=none --noexport"
result = main.train(experiment.canonical(main.parse(["main", *flags.split()])))
assert result["test_error"] < 10, result
"""
    run(example("docs/extending.md", "dataset") + train, tmp_path)
