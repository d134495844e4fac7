"""MetaMixUp (Mai et al. 2019): mixup with learned coefficients, in TensorFlow and Keras 3.

The public names load on first use, so that a mistyped flag is told before TensorFlow starts.
"""

import importlib
from typing import Any

_MODULES = ("data", "hypergradient", "losses", "methods", "mixing", "models", "policies")
_CLASSES = {"Trainer": "training.trainer", "MixUpModel": "training.keras_model"}

__version__ = "0.2.0"
__all__ = [
    "MixUpModel",
    "Trainer",
    "data",
    "hypergradient",
    "losses",
    "methods",
    "mixing",
    "models",
    "policies",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _CLASSES:
        return getattr(importlib.import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
