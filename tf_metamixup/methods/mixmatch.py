"""MixMatch (Berthelot et al. 2019), with the values of its code (google-research/mixmatch)."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.core import schedules
from tf_metamixup.core.errors import require
from tf_metamixup.methods.consistency import Consistency, check_weight
from tf_metamixup.methods.method import METHODS, with_guesses


@METHODS.register("mixmatch")
@dataclasses.dataclass(frozen=True)
class MixMatch(Consistency):
    """Gives K views of an unlabelled image one sharpened pseudo-label; all rows mix in one pool.

    A row is mostly itself (lambda >= 1/2), so labelled rows keep the cross-entropy and guessed ones
    the squared error. Policy `none` is the "MixMatch w/o MixUp" of Table III, `beta(0.75,
    per_sample=True)` is MixMatch, `meta(alpha=0.75, estimator='nested')` MixMatch + MetaMixUp. The
    average of the weights is what is evaluated and exported. One pass over all rows stands in for
    the interleaved batches of the code, whose authors call the two alike
    (google-research/mixmatch#7).

    Attributes:
        coefficient: lambda_U: 75 for CIFAR-10, 250 for SVHN.
        ramp: fraction of the run in which it rises from 0, linearly (there: 16,384 of 1,048,576
            steps).
        augmentations: K.
        temperature: T of the sharpening.
        decay: of the average.
    """

    coefficient: float = 75.0
    ramp: float = 1 / 64
    augmentations: int = 2
    temperature: float = 0.5
    decay: float = 0.999
    predicts_average: ClassVar[bool] = True
    fold_lambda: ClassVar[bool] = True

    def __post_init__(self):
        check_weight("mixmatch", self.coefficient, self.ramp)
        require(0 <= self.decay < 1, f"mixmatch: decay={self.decay}", "lie in [0, 1)")
        views, temperature = self.augmentations, self.temperature
        require(views >= 1, f"mixmatch: augmentations={views}", "be at least 1")
        require(temperature > 0, f"mixmatch: temperature={temperature}", "be above 0")

    @property
    def views(self):
        return self.augmentations

    @property
    def average(self):
        return self.decay

    def examples(self, forward, batch, clock, groups):
        """Returns the labelled rows and all views, in one pool."""
        views = tf.unstack(batch.u, self.augmentations, axis=1)
        answers = [tf.nn.softmax(forward(view)) for view in views]
        guess = sharpen(tf.add_n(answers) / len(answers), self.temperature)
        return with_guesses(batch, groups, views, guess, pool=True)

    def weight(self, clock):
        """Returns lambda_U min(1, t/T)."""
        return self.coefficient * schedules.linear_ramp(self.ramp, clock.progress)


def sharpen(probs: tf.Tensor, temperature: float) -> tf.Tensor:
    """Sharpens probabilities [N, C]: p^(1/T), normalized (Berthelot et al. 2019, eq. 7)."""
    return tf.nn.softmax(tf.math.log(probs) / temperature)
