"""Training on the labelled images alone (Alg. 1)."""

import dataclasses

from tf_metamixup.methods.method import METHODS, Method


@METHODS.register("supervised")
@dataclasses.dataclass(frozen=True)
class Supervised(Method):
    """Computes cross-entropy on the labelled batch: Baseline, MixUp, MetaMixUp."""
