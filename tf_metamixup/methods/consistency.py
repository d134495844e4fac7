"""What Pi-Model, Mean Teacher and MixMatch share: soft guesses, held to by a squared error."""

from typing import ClassVar

import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core import schedules
from tf_metamixup.core.errors import require
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.method import Method, Ratio, guess_metrics, over_batch, with_guesses
from tf_metamixup.models.network import Forward


class Consistency(Method):
    """Adds to the cross-entropy of labelled rows w(t) times the squared error of guessed rows.

    Both are means; the squared error is one over classes too (Oliver et al. 2018, Berthelot et al.
    2019). Guesses are soft and have no gradient; docs/reproduction.md lists what differs from the
    methods as published. With a policy that mixes, guessed rows are mixed with each other as
    labelled ones are, images and guesses alike: the idea of Interpolation Consistency Training
    (Verma et al. 2019), whose code guesses on the same view, mixes logits and evaluates the
    average.

    Subclasses have the fields `coefficient` and `ramp`.
    """

    views: ClassVar[int] = 2

    def teacher(self, forward: Forward) -> Forward:
        """Returns the network that guesses."""
        raise NotImplementedError

    def weight(self, clock) -> tf.Tensor:
        """Returns w(t) at `clock`, float32 scalar: coefficient * exp(-5 (1 - t/T)^2)."""
        return self.coefficient * schedules.sigmoid_ramp(self.ramp, clock.progress)

    def examples(self, forward, batch, clock, groups):
        """Takes the labelled rows and one view of each unlabelled image; the other is guessed."""
        student, other = tf.unstack(batch.u, 2, axis=1)
        guess = tf.nn.softmax(self.teacher(forward)(other))
        return with_guesses(batch, groups, [student], guess)

    def loss(self, forward, mixture, batch, clock):
        """Computes both summands in one pass over all rows."""
        logits, target = forward(mixture.x), mixture.y
        guessed = tf.cast(mixture.examples.guessed, logits.dtype)
        row = mixture.examples.weight
        labelled = over_batch(row * (1 - guessed) * losses.cross_entropy(target, logits), batch)
        rows = tf.reduce_sum(guessed) * replicas.count()
        consistency = tf.reduce_sum(row * guessed * losses.squared_error(target, logits)) / rows
        weight = tf.cast(self.weight(clock), logits.dtype)
        share = 1 / replicas.count()
        return labelled + weight * consistency, {
            "labelled_loss": Ratio(labelled, share),
            "consistency_loss": Ratio(consistency, share),
            "consistency_weight": Ratio(weight),
            **guess_metrics(mixture.examples),
        }


def check_weight(method: str, coefficient: float, ramp: float) -> None:
    """Raises UserError unless `coefficient` is at least 0 and `ramp` is a share."""
    require(coefficient >= 0, f"{method}: coefficient={coefficient}", "be at least 0")
    require(0 <= ramp <= 1, f"{method}: ramp={ramp}", "lie in [0, 1], a share of the run")
