"""Policies that do not learn: no mixing, a constant lambda, and lambda sampled as in MixUp."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.core.errors import require
from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies.policy import POLICIES, Policy, Task, check_alpha


@POLICIES.register("none")
@dataclasses.dataclass(frozen=True)
class Unmixed(Policy):
    """Keeps lambda = 1: training without MixUp, the paper's Baseline and Supervised-Only."""

    mixes: ClassVar[bool] = False

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Returns ones, [N]."""
        return task.given(tf.ones([task.rows], task.dtype))


@POLICIES.register("fixed")
@dataclasses.dataclass(frozen=True)
class Fixed(Policy):
    """Gives every pair the same lambda (the lower half of Table II)."""

    value: float = 0.5

    def __post_init__(self):
        require(0 <= self.value <= 1, f"policy fixed: value={self.value}", "lie in [0, 1]")

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Returns the same value for all rows, [N]."""
        return task.given(tf.fill([task.rows], tf.cast(self.value, task.dtype)))


@POLICIES.register("beta")
@dataclasses.dataclass(frozen=True)
class Beta(Policy):
    """Draws lambda ~ Beta(alpha, alpha): MixUp (Zhang et al. 2018).

    One lambda per batch, as the paper describes MixUp (III.B, "a unique value in each mini-batch")
    and the reference code has it; `per_sample` draws one per example.
    """

    alpha: float = 1.0
    per_sample: bool = False

    def __post_init__(self):
        check_alpha("beta", self.alpha)

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Draws at each step, [N]."""
        if self.per_sample:
            return task.given(draws.beta("lambda", task.rows, self.alpha, task.dtype))
        lam = draws.shared().beta("lambda", 1, self.alpha, task.dtype)
        return task.given(tf.repeat(lam, task.rows))
