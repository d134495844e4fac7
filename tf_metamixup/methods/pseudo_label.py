"""Pseudo-Label (Lee 2013) and asynchronous pseudo-labelling, APL (paper III.C, Alg. 2)."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.core import schedules
from tf_metamixup.core.errors import UserError
from tf_metamixup.methods.method import METHODS, Method, Ratio, guess_metrics, with_guesses


@METHODS.register("pseudo_label")
@dataclasses.dataclass(frozen=True)
class PseudoLabel(Method):
    """Takes the network's confident predictions as the labels of the unlabelled images.

    Each step, argmax of the current network on the un-mixed augmented image, where the largest
    probability exceeds sigma (Alg. 2 line 3); batch statistics, no update of the moving ones. The
    labels of a step serve its virtual and its real step. The loss is L_s + weight * L_us, both
    over B with rejected rows as zeros (lines 9 and 13; Oliver et al. 2018 and later code do so).

    Attributes:
        threshold: sigma_0 (III.C).
        decay: sigma_d, taken off sigma every `period` epochs: above 0 this is APL (III.C: 0.05).
        period: K, in epochs (III.C: 30).
        weight: of the unlabelled loss; the paper has none (Alg. 2 line 13).
        pool: whether labelled and unlabelled images mix with each other; Alg. 2 line 8 builds two
            sets.
    """

    threshold: float = 0.95
    decay: float = 0.0
    period: int = 30
    weight: float = 1.0
    pool: bool = False
    views: ClassVar[int] = 1

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise UserError(f"pseudo_label: threshold={self.threshold} must lie in [0, 1]")
        if not 0 <= self.decay <= 1:
            raise UserError(f"pseudo_label: decay={self.decay} must lie in [0, 1]")
        if self.period < 1:
            raise UserError(f"pseudo_label: period={self.period} must be at least 1 epoch")
        if self.weight <= 0:
            raise UserError(f"pseudo_label: weight={self.weight} must be above 0")

    def sigma(self, clock) -> tf.Tensor:
        """Returns the threshold at `clock`, float32 scalar."""
        return schedules.falling_threshold(self.threshold, self.decay, self.period, clock.epoch)

    def examples(self, forward, batch, clock, groups):
        """Returns the labelled rows and, with weight 0 where rejected, the unlabelled ones."""
        u = batch.u[:, 0]
        probs = tf.nn.softmax(forward(u))
        confident = tf.reduce_max(probs, axis=-1) > tf.cast(self.sigma(clock), probs.dtype)
        guess = tf.one_hot(tf.argmax(probs, axis=-1), tf.shape(probs)[-1], dtype=probs.dtype)
        weight = self.weight * tf.cast(confident, probs.dtype)
        return with_guesses(batch, groups, [u], guess, weight=weight, pool=self.pool)

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B, and metrics of sigma and the guesses."""
        loss, _ = super().loss(forward, mixture, batch, clock)
        watched = {"threshold": Ratio(self.sigma(clock)), **guess_metrics(mixture.examples)}
        return loss, watched
