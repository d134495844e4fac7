"""The console command `metamixup`, which starts the others."""

import subprocess
import sys

import pytest

from tf_metamixup import __main__ as command
from tf_metamixup import __version__


def started(*words, program="/usr/bin/metamixup"):
    """What the console command prints in a process of its own: (exit code, stdout, stderr)."""
    code = "from tf_metamixup.__main__ import main; import sys; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = {program!r}; {code}", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the console command in this process: (exit code, stdout, stderr)."""

    def call(*words, program="/usr/bin/metamixup"):
        monkeypatch.setattr(sys, "argv", [program, *words])
        return command.main(), *capsys.readouterr()

    return call


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands(run, words):
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out.startswith("usage: metamixup COMMAND")
    for name in ("train", "predict", "report", "audit", "figures", "benchmark"):
        assert f"\n  {name} " in out


def test_without_a_command_the_usage_is_an_error(run):
    code, out, _ = run()
    assert code == 2 and out.startswith("usage: metamixup COMMAND")


def test_the_version_is_reported(run):
    assert run("--version") == (0, f"tf_metamixup {__version__}\n", "")


@pytest.mark.parametrize(
    ("word", "reported"),
    [
        ("trian", "unknown command 'trian' (did you mean 'train'?)"),
        ("figure", "did you mean 'figures'?"),
        ("xyz", "unknown command 'xyz'\n"),
        ("--dataset=digits", "a command comes first: metamixup train --dataset=digits"),
    ],
)
def test_an_unknown_command_is_refused_with_a_hint(run, word, reported):
    code, out, err = run(word)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and reported in err and "usage: metamixup COMMAND" in err


def test_help_and_version_load_neither_tensorflow_nor_absl():
    for word in ("--help", "--version", "trian"):
        code = (
            "import sys; from tf_metamixup.__main__ import main; sys.argv = ['metamixup', "
            f"{word!r}]; main(); assert not {{'tensorflow', 'keras', 'absl', 'numpy'}} & "
            "sys.modules.keys()"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("program", "reported"),
    [
        ("/usr/bin/metamixup", "metamixup"),
        ("/here/tf_metamixup/__main__.py", "python -m tf_metamixup"),
    ],
)
def test_usage_says_what_was_typed(program, reported):
    for name in ("train", "predict", "report", "audit", "figures", "benchmark"):
        code, out, err = started(name, "--help", program=program)
        assert code == 0, err
        assert out.startswith(f"`{reported} {name}")
    _, _, err = started("report", program=program)
    assert f"usage: {reported} report RUNS_DIR..." in err
    _, _, err = started("predict", program=program)
    assert f": {reported} predict SAVED_MODEL IMAGES..." in err


def test_flags_and_exit_code_pass_through():
    code, out, err = started("train", "--epochs=0", "--policy=beta(0.5, per_sample=True)")
    assert (code, out) == (2, "")
    assert "--epochs=0 must be at least 1" in err
    assert started("report", "/no/such/folder")[0] == 1


def test_modules_tell_their_own_name_when_started_by_it():
    done = subprocess.run(
        [sys.executable, "-m", "tf_metamixup.main", "--help"], capture_output=True, text=True
    )
    assert done.stdout.startswith("`python -m tf_metamixup.main`: ")


def test_another_backend_of_keras_is_reported_in_one_line(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert started("--version")[0] == 0
    code, out, err = started("train", "--dataset=digits")
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("error: Keras's backend is 'jax'")
