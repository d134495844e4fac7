"""What README.md, WORKSPACE.md, flags/ and launch/ say is true: commands parse, examples run."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tf_metamixup import main, predict
from tf_metamixup.benchmark import __main__ as benchmark
from tf_metamixup.benchmark import replicas
from tf_metamixup.figures import __main__ as figures

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "WORKSPACE.md"]
FLAGFILES = sorted((ROOT / "flags").rglob("*.flags"))
SCRIPTS = [*sorted((ROOT / "launch").glob("*.sh")), ROOT / ".ci" / "run"]
COMMAND = re.compile(r"python -m tf_metamixup\.([\w.]+)((?:[^\n`\\]|\\\n)*)")


def commands():
    """(file, module, arguments) of each command in the documents, flagfiles and scripts."""
    for path in (*DOCUMENTS, *FLAGFILES, *SCRIPTS):
        text = path.read_text().replace("\\\n", " ")
        for module, rest in COMMAND.findall(text):
            if "$*" not in rest:
                yield path.name, module, shlex.split(rest, comments=True)
        if path.name == "quickstart.sh":
            for line in re.findall(r"^train (.*)$", text, re.M):
                yield path.name, "main", shlex.split(line)


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
            "benchmark.replicas": replicas,
            "predict": predict,
        }
        parse = known[module].parse
        config = parse([module, *arguments])
        if module == "main":
            main.canonical(config)


def test_every_picture_of_the_readme_is_there():
    linked = set(re.findall(r"!\[[^]]+\]\((.+?)\)", (ROOT / "README.md").read_text()))
    kept = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.png")}
    assert linked == kept and len(kept) == 10


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda p: p.stem)
def test_every_flagfile_says_what_it_is_and_parses(path):
    assert path.read_text().startswith("# ")
    main.canonical(main.parse(["main", f"--flagfile={path}"]))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_every_script_is_valid_bash(path):
    subprocess.run(["bash", "-n", path], check=True)


def test_quickstart_lets_the_threshold_fall_at_least_twice():
    from tf_metamixup import methods

    config = main.parse(["main", f"--flagfile={ROOT / 'flags' / 'quickstart.flags'}"])
    method = methods.make(config.method)
    assert method.decay > 0 and (config.epochs - 1) // method.period >= 2


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.S)


def run(block, folder):
    """A Python example, as a user runs it in an empty folder."""
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_method_is_added_from_outside_in_under_30_lines(tmp_path):
    method, *_ = python_blocks("WORKSPACE.md")
    assert len(method.splitlines()) < 30
    run(method, tmp_path)
    result = json.loads((tmp_path / "runs" / "smoothed" / "result.json").read_text())
    assert result["method"].startswith("LabelSmoothing(share=0.2)")
    # The smoothed loss cannot fall below the entropy of its targets, 0.325.
    assert 0.325 < result["history"][-1]["train_loss"] < 2


def test_an_architecture_is_added_by_one_function():
    import keras

    from tf_metamixup import models
    from tf_metamixup.core.registry import Registry
    from tf_metamixup.models import layers

    own = Registry("architecture")
    _, function, _ = python_blocks("WORKSPACE.md")
    exec(function, {"MODELS": own, "keras": keras, "layers": layers})
    model = own.make("linear(bias=False)", (4, 4, 1), 3)
    assert model.output_shape == (None, 3)
    assert "linear" not in models.names()


def test_a_data_set_is_added_by_one_function(tmp_path):
    *_, loader = python_blocks("WORKSPACE.md")
    train = """
from tf_metamixup import main
flags = "--dataset=stripes --architecture=cnn3(width=4) --batch_size=20 --epochs=8 --run_dir=run"
result = main.train(main.canonical(main.parse(["main", *flags.split()])))
assert result["test_error"] < 10, result
"""
    run(loader + train, tmp_path)


def test_the_python_examples_of_the_readme_run(tmp_path):
    _, own, applications, door, served = python_blocks("README.md")
    # Each of the first three goes on where the one before ended.
    run(own + applications.replace("steps=200", "steps=1") + door, tmp_path)
    run(served, tmp_path)
    result = json.loads((tmp_path / "runs" / "mine" / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["test_error"] < 30  # of ten classes
    assert (tmp_path / "digits.keras").exists()


def section(title):
    """The commands in the bash blocks of a section of the README, (module, arguments)."""
    text = re.search(rf"^## {title}.*?(?=^## )", (ROOT / "README.md").read_text(), re.S | re.M)[0]
    for block in re.findall(r"```bash\n(.*?)```", text, re.S):
        for module, rest in COMMAND.findall(block):
            yield module, shlex.split(rest)


def carry_out(title):
    """The commands of a section, in one process, on small networks and for an epoch."""
    small = ["--epochs=1", "--architecture=cnn3(width=2)"]
    for module, arguments in section(title):
        if module == "main":
            main.train(main.canonical(main.parse([module, *arguments, *small])))
        else:
            assert {"predict": predict, "figures": figures}[module].main([module, *arguments]) == 0


def test_the_tour_of_the_readme_leads_to_its_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    carry_out("Five minutes")
    assert (tmp_path / "figures" / "figure6.png").exists()


def test_the_image_folder_of_the_readme_is_trained_on_and_classified(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    run(python_blocks("README.md")[0], tmp_path)
    carry_out("Your own images")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line[:1] == "{"]
    assert len(lines) == len(list(tmp_path.glob("photos/test/digit_3/*.png")))
    assert all(line["class"].startswith("digit_") for line in lines)
