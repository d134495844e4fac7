"""SoftMatch (Chen et al. 2023), with the values of microsoft/Semi-supervised-learning."""

import dataclasses

import tensorflow as tf

from tf_metamixup.core import schedules
from tf_metamixup.core.errors import require
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.guessing import Guessing, check_guessing, running_mean
from tf_metamixup.methods.method import METHODS


@METHODS.register("softmatch")
@dataclasses.dataclass(frozen=True)
class SoftMatch(Guessing):
    """Changes FixMatch: no guess is rejected, and those below the mean confidence weigh less.

    With m and v running mean and variance of the largest probability, a guess below m weighs
    exp(-(p - m)^2 / (2 v / sigmas^2)), others 1. Confidence is that of predictions that
    were moved towards equal shares of all classes (uniform alignment); guesses are of the others.

    Attributes:
        weight: of the unlabelled loss (1).
        sigmas: what the standard deviation of the bell curve is divided by (2).
        decay: of the running means (0.999); less in the first steps: see `schedules.warmed_up`.
        pool: whether labelled and unlabelled images mix with each other.
    """

    weight: float = 1.0
    sigmas: float = 2.0
    decay: float = 0.999
    pool: bool = False

    def __post_init__(self):
        check_guessing("softmatch", self.weight, decay=self.decay)
        require(self.sigmas > 0, f"softmatch: sigmas={self.sigmas}", "be above 0")

    def memory(self, classes):
        """Returns mean and variance of the confidence, and the mean prediction, at first."""
        return {"mean": 1 / classes, "variance": 1.0, "predicted": [1 / classes] * classes}

    def weigh(self, probs, forward, clock):
        """Returns the bell's height at each confidence."""
        decay = schedules.warmed_up(self.decay, clock.step)
        old = {name: tf.cast(value, probs.dtype) for name, value in forward.memory.items()}
        predicted = running_mean(old["predicted"], tf.reduce_mean(probs, axis=0), decay)
        fair = probs / predicted
        confidence = tf.reduce_max(fair, axis=-1) / tf.reduce_sum(fair, axis=-1)
        mean = replicas.mean(tf.reduce_mean(confidence))
        # Not E[p^2] - E[p]^2, which rounding makes negative where confidences hardly differ.
        spread = tf.reduce_mean((confidence - mean) ** 2)
        center = running_mean(old["mean"], mean, decay)
        variance = running_mean(old["variance"], spread, decay)
        below = tf.minimum(confidence - center, 0)
        new = {"mean": center, "variance": variance, "predicted": predicted}
        scaled = tf.math.divide_no_nan((self.sigmas * below) ** 2, variance)
        return tf.exp(-scaled / 2), new
