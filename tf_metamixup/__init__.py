"""MetaMixUp (Mai et al. 2019): mixup with learned coefficients, in TensorFlow and Keras 3.

The public names load on first use, so that a mistyped flag is reported before TensorFlow starts.
"""

import importlib
import os
import sys
from typing import Any

from tf_metamixup.core import keras_backend

_MODULES = ("data", "hypergradient", "losses", "methods", "mixing", "models", "policies")
_CLASSES = {"Trainer": "training.trainer", "MixUpModel": "training.keras_model"}

__version__ = "0.3.0"
__all__ = [*_CLASSES, *_MODULES]

# Commands (`-m` is while `python -m tf_metamixup.main` is located) report this without a traceback.
if os.path.basename("".join(sys.argv[:1])) not in ("-m", "metamixup"):
    keras_backend.require_tensorflow()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _CLASSES:
        return getattr(importlib.import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
