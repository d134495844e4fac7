"""Keras's backend, which must be TensorFlow."""

import json
import os
import pathlib
import sys

from tf_metamixup.core.errors import BackendError


def require_tensorflow() -> None:
    """Refuses any other backend, without importing Keras: one that is not installed breaks that."""
    backend = _backend()
    if backend != "tensorflow":
        raise BackendError(
            f"Keras's backend is {backend!r}, and tf_metamixup needs 'tensorflow': set "
            "KERAS_BACKEND=tensorflow in the environment before Keras is imported"
        )


def _backend() -> str:
    """Returns the backend that Keras has, or takes from the environment or its own file."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "config"):
        return keras.config.backend()
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    try:
        return json.loads((pathlib.Path(home) / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError):
        return "tensorflow"
