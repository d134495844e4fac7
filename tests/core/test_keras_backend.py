"""Another backend of Keras is refused in one line, also where it is not installed."""

import os
import subprocess
import sys

import pytest

from tf_metamixup.core import keras_backend
from tf_metamixup.core.errors import BackendError


def run(*words, backend, home):
    names = {"KERAS_BACKEND": backend, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = os.environ | {name: value for name, value in names.items() if value}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("backend", ["jax", "torch", "openvino"])
@pytest.mark.parametrize(
    "words", ["import tf_metamixup", "from tf_metamixup.training.trainer import Trainer"]
)
def test_the_import_says_so(tmp_path, backend, words):
    process = run("-c", words, backend=backend, home=tmp_path)
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert f"Keras's backend is '{backend}'" in last and "KERAS_BACKEND=tensorflow" in last


@pytest.mark.parametrize("command", ["main", "benchmark", "figures"])
def test_a_command_says_so_in_one_line(tmp_path, command):
    words = {"figures": ["--figure=6", f"--out={tmp_path}", str(tmp_path)]}.get(command, [])
    process = run("-m", f"tf_metamixup.{command}", *words, backend="jax", home=tmp_path)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: Keras's backend is 'jax'")


def test_a_bad_flag_comes_first(tmp_path):
    process = run("-m", "tf_metamixup.main", "--epoch=1", backend="jax", home=tmp_path)
    assert process.returncode == 2 and "epoch" in process.stderr


def test_the_configuration_file_of_keras_is_read(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    keras_backend.require_tensorflow()
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    with pytest.raises(BackendError, match="'torch'"):
        keras_backend.require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    keras_backend.require_tensorflow()
    monkeypatch.delenv("KERAS_BACKEND")
    (tmp_path / "keras.json").write_text("no JSON")
    keras_backend.require_tensorflow()


def test_what_keras_runs_on_counts_once_it_is_imported(monkeypatch):
    import keras

    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras_backend.require_tensorflow()
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(BackendError, match="'torch'"):
        keras_backend.require_tensorflow()
