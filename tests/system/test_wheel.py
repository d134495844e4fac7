"""A wheel of this checkout, in an environment without the checkout and without any extra."""

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import venv

import numpy as np
import pytest
from PIL import Image

import tf_metamixup

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What only extras install, as modules and as distributions.
EXTRAS = {"importlib_resources", "matplotlib", "scipy", "tensorboard", "tensorflow_datasets"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Its folder. The dependencies are those of this process: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    build = ("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, ROOT)
    subprocess.run([sys.executable, *pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, *pip, "install", "--no-deps", "--no-index", wheel], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in pathlib.Path(place).iterdir():
            name = re.split(r"[-.]", entry.name)[0]
            is_checkout = name == "tf_metamixup" or entry.suffix == ".pth"
            if name not in EXTRAS and not is_checkout and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    return folder / "venv"


@pytest.fixture
def run(environment, tmp_path):
    """Runs the console command in an empty folder: (exit code, stdout, stderr)."""

    def call(*words):
        done = subprocess.run(
            [environment / "bin" / "metamixup", *words],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return call


def test_the_version_is_that_of_the_checkout(run):
    assert run("--version") == (0, f"tf_metamixup {tf_metamixup.__version__}\n", "")


def test_the_package_is_whole(environment):
    (package,) = environment.glob("lib/python*/site-packages/tf_metamixup")
    checkout = ROOT / "tf_metamixup"

    def files(folder):
        return {
            path.relative_to(folder)
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    flagfiles = {pathlib.Path("flags") / path for path in files(ROOT / "flags")}
    assert files(package) == files(checkout) | flagfiles
    assert (package / "py.typed").exists()


def test_the_metadata_is_complete(environment):
    (site,) = environment.glob("lib/python*/site-packages")
    (found,) = importlib.metadata.distributions(name="tf_metamixup", path=[str(site)])
    metadata = found.metadata
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    extras = {"all", "cuda", "data", "figures", "tensorboard"}
    assert set(metadata.get_all("Provides-Extra")) == extras
    core = {each for each in found.requires if "extra ==" not in each}
    names = {each.partition(">")[0].partition("<")[0] for each in core}
    assert names == {"absl-py", "keras", "numpy", "pillow", "tensorflow", "tqdm"}
    assert any(str(file).endswith("licenses/LICENSE") for file in found.files)


def test_a_run_is_trained_and_its_model_predicts_from_any_folder(run, tmp_path):
    code, out, err = run(
        *("train", "--dataset=digits", "--flagfile=flags/row/mixup.flags", "--run_dir=run"),
        *("--architecture=cnn3(width=2)", "--train_examples=40", "--num_meta=20"),
        *("--batch_size=20", "--epochs=1", "--max_steps=2"),
    )
    assert code == 0, err
    assert out.startswith("finished: 2 steps") and "TensorBoard" not in out
    (warning,) = [line for line in err.splitlines() if line.startswith("warning: no events for")]
    assert "pip install '.[tensorboard]'" in warning
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["policy"]) == ("finished", "beta")

    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "black.png")
    code, out, err = run("predict", "run/saved_model", "black.png")
    assert code == 0, err
    assert json.loads(out)["class"] in "0123456789"


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["train", "--dataset=mnist", "--run_dir=run"], "data"),
        (["benchmark", "--dataset=mnist"], "data"),
        (["figures", "--figure=6", "--out=here", "RUNS"], "figures"),
        (["report", "RUNS", "--against=beta"], "figures"),
    ],
)
def test_a_missing_extra_is_reported_in_one_line(run, words, extra):
    runs = str(ROOT / "docs" / "study")
    code, out, err = run(*(runs if word == "RUNS" else word for word in words))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and line.endswith(f"pip install '.[{extra}]'")
