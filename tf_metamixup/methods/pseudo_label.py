"""Pseudo-Label (Lee 2013) and asynchronous pseudo-labelling, APL (paper III.C, Alg. 2)."""

import dataclasses
import numbers
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.core import schedules
from tf_metamixup.core.errors import require
from tf_metamixup.methods.guessing import Guessing, check_guessing
from tf_metamixup.methods.method import METHODS, Ratio


@METHODS.register("pseudo_label")
@dataclasses.dataclass(frozen=True)
class PseudoLabel(Guessing):
    """Takes the network's confident predictions as the labels of the unlabelled images.

    Each step, where the largest probability exceeds sigma (Alg. 2 line 3). The loss is L_s +
    weight * L_us, both over B with rejected rows as zeros (lines 9 and 13; Oliver et al. 2018 and
    later code do so); see `Guessing`.

    Attributes:
        threshold: sigma_0 (III.C).
        decay: sigma_d, taken off sigma every `period`: above 0 this is APL (III.C: 0.05).
        period: K, in epochs (III.C: 30, of 200), or below 1 as a fraction of the run.
        weight: of the unlabelled loss; the paper has none (Alg. 2 line 13).
        pool: whether labelled and unlabelled images mix with each other; Alg. 2 line 8 builds two
            sets.
        align: whether predictions are first adjusted towards the class proportions of the labelled
            images: distribution alignment (Berthelot et al. 2020).
    """

    threshold: float = 0.95
    decay: float = 0.0
    period: int | float = 30
    weight: float = 1.0
    pool: bool = False
    align: bool = False
    views: ClassVar[int] = 1
    strong_views: ClassVar[int] = 0

    def __post_init__(self):
        check_guessing("pseudo_label", self.weight, threshold=self.threshold, decay=self.decay)
        epochs = isinstance(self.period, numbers.Integral)
        require(
            self.period >= 1 if epochs else 0 < self.period < 1,
            f"pseudo_label: period={self.period}",
            "be a whole number of epochs, at least 1, or a share of the run between 0 and 1",
        )

    def sigma(self, clock) -> tf.Tensor:
        """Returns the threshold at `clock`, float32 scalar."""
        passed = clock.epoch if self.period >= 1 else clock.progress
        return schedules.falling_threshold(self.threshold, self.decay, self.period, passed)

    def weigh(self, probs, forward, clock):
        """Returns 1 where the largest probability exceeds sigma."""
        confident = tf.reduce_max(probs, axis=-1) > tf.cast(self.sigma(clock), probs.dtype)
        return tf.cast(confident, probs.dtype), {}

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B, and metrics of sigma and the guesses."""
        loss, watched = super().loss(forward, mixture, batch, clock)
        return loss, {"threshold": Ratio(self.sigma(clock)), **watched}
