"""Mean Teacher (Tarvainen and Valpola 2017), with the values of Oliver et al. (2018)."""

import dataclasses

from tf_metamixup.core.errors import require
from tf_metamixup.methods.consistency import Consistency, check_weight
from tf_metamixup.methods.method import METHODS


@METHODS.register("mean_teacher")
@dataclasses.dataclass(frozen=True)
class MeanTeacher(Consistency):
    """Matches predictions on one view to those of averaged weights on another view.

    The teacher has the trainable variables averaged and batch statistics. As in the code of Oliver
    et al., it is the student that is evaluated.

    Attributes:
        coefficient: w_max (Oliver et al.'s code, lib/hparams.py: 8).
        ramp: fraction of the run in which w rises to it (there: 200,000 of 500,000 steps).
        decay: of the average (there: 0.95).
    """

    coefficient: float = 8.0
    ramp: float = 0.4
    decay: float = 0.95

    def __post_init__(self):
        check_weight("mean_teacher", self.coefficient, self.ramp)
        require(0 <= self.decay < 1, f"mean_teacher: decay={self.decay}", "lie in [0, 1)")

    @property
    def average(self):
        return self.decay

    def teacher(self, forward):
        """Returns the average of the weights."""
        return forward.average()
