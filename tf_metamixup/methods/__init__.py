"""Methods: which examples and targets are trained on, and with which loss; one file per method.

>>> make("mean_teacher(decay=0.99)").decay
0.99
>>> "mixmatch" in names()
True
"""

from tf_metamixup.core import registry
from tf_metamixup.methods.method import (
    METHODS,
    Method,
    averaging,
    check_precision,
    check_smoothing,
    over_batch,
    valid_loss,
)

registry.discover(__name__, __path__)

make = METHODS.make
names = METHODS.names
parse = METHODS.parse

__all__ = [
    "METHODS",
    "Method",
    "averaging",
    "check_precision",
    "check_smoothing",
    "make",
    "names",
    "over_batch",
    "parse",
    "valid_loss",
]
