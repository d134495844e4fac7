"""Pseudo-Label whose guesses are audited: held-out labelled images say which are right."""

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_metamixup.core import label_trust
from tf_metamixup.core.errors import UserError
from tf_metamixup.methods.guessing import Guessing, check_guessing
from tf_metamixup.methods.label_judge import LabelJudge, check_share, times
from tf_metamixup.methods.method import METHODS
from tf_metamixup.mixing import join

# Before the first audit: how far the largest probability must lie above the next, and a slope that
# makes a step of the logistic curve.
MARGIN, SLOPE = 0.9, 1000.0


@METHODS.register("audited_pseudo_label")
@dataclasses.dataclass(frozen=True)
class AuditedPseudoLabel(Guessing, LabelJudge):
    """Accepts a guess where the probability that it is right exceeds a threshold.

    That probability is a logistic regression's (`core.label_trust`) on labelled images that are not
    trained on at the time. They are one of `folds` parts in turn, so that no more labels are read
    and each is learned from: from one audit to the next a part is held out, then the network's
    guesses about it are compared with its labels. After the last audit all are trained on.

    Attributes:
        right: the threshold of the probability.
        folds: parts of the labelled images.
        period: share of the run from one audit to the next.
        weight: of the unlabelled loss.
        pool: whether labelled and unlabelled images mix with each other.
    """

    right: float = 0.7
    folds: int = 5
    period: float = 1 / 12
    weight: float = 1.0
    pool: bool = False
    views: ClassVar[int] = 1

    def __post_init__(self):
        check_guessing("audited_pseudo_label", self.weight, right=self.right)
        check_share(self, "period")
        if self.folds < 2:
            raise UserError(f"audited_pseudo_label: folds={self.folds} must be at least 2")

    def audit_steps(self, steps):
        """See `LabelJudge`."""
        return times(steps, self.period, self.period)

    def unjudged(self, count, classes):
        """See `LabelJudge`."""
        margin = [0.0, 0.0, SLOPE, 0.0, -SLOPE * MARGIN, *[0.0] * classes]
        return {"regression": np.array(margin), "held_out": np.zeros(())}

    def judge(self, evidence):
        """See `LabelJudge`."""
        held = np.arange(len(evidence.given)) % self.folds == evidence.round % self.folds
        p, labels = evidence.probabilities[held], evidence.given[held]
        guess = p.argmax(axis=1)
        regression = label_trust.fit(label_trust.features(p, guess), guess == labels)
        following = -1 if evidence.last else (evidence.round + 1) % self.folds
        return {"regression": regression, "held_out": np.float64(following)}

    def relabel(self, given, doubted, positions, believed):
        """Returns the labels as they are, and trust 0 where they are held out."""
        del doubted
        fold = tf.cast(positions % self.folds, given.dtype)
        trained = tf.cast(fold != believed["held_out"], given.dtype)
        return given, {"trust": trained, "guess_regression": believed["regression"]}

    def examples(self, forward, batch, clock, groups):
        """Returns the labelled rows that are not held out, and the unlabelled ones."""
        made = super().examples(forward, batch, clock, groups)
        guesses = tf.ones(tf.shape(batch.u)[:1], batch.trust.dtype)
        return made._replace(weight=made.weight * join(groups, batch.trust, guesses))

    def weigh(self, probs, forward, batch, clock):
        """Returns 1 where the probability that the guess is right exceeds `right`."""
        del forward, clock
        inputs = label_trust.features_of(probs, tf.argmax(probs, axis=-1))
        right = tf.sigmoid(tf.linalg.matvec(inputs, batch.guess_regression))
        return tf.cast(right > self.right, probs.dtype), {}
