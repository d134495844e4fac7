"""Mixing by trust: the row whose label is more likely right gets the larger share."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies.policy import POLICIES, Policy, Task, check_alpha


@POLICIES.register("dynamic")
@dataclasses.dataclass(frozen=True)
class Dynamic(Policy):
    """Draws lambda ~ Beta(alpha, alpha) per example and moves it by the trust u of both rows.

    lambda' = lambda u_i / (lambda u_i + (1 - lambda) u_j): dynamic mixup (Arazo et al. 2019), with
    the trust that methods `audit` and `small_loss` give. It mixes images and targets alike.
    """

    alpha: float = 1.0
    reads_trust: ClassVar[bool] = True

    def __post_init__(self):
        check_alpha("dynamic", self.alpha)

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Draws at each step, [N]."""
        lam = draws.beta("lambda", task.rows, self.alpha, task.dtype)
        trust = tf.cast(task.trust, task.dtype)
        ours, theirs = lam * trust, (1 - lam) * tf.gather(trust, task.partner)
        return task.given(tf.math.divide_no_nan(ours, ours + theirs))
