"""Pi-Model (Laine and Aila 2017; Sajjadi et al. 2016), with the values of Oliver et al. (2018)."""

import dataclasses

from tf_metamixup.methods.consistency import Consistency, check_weight
from tf_metamixup.methods.method import METHODS


@METHODS.register("pi_model")
@dataclasses.dataclass(frozen=True)
class PiModel(Consistency):
    """Matches the predictions on two views of an unlabelled image under the same weights.

    The second pass is the target. It differs in augmentation and in the dropout masks, since
    unlabelled images are other rows in it.

    Attributes:
        coefficient: w_max (Oliver et al.'s code, lib/hparams.py: 20).
        ramp: fraction of the run in which w rises to it (there: 200,000 of 500,000 steps).
    """

    coefficient: float = 20.0
    ramp: float = 0.4

    def __post_init__(self):
        check_weight("pi_model", self.coefficient, self.ramp)

    def teacher(self, forward):
        """Returns the network itself."""
        return forward
