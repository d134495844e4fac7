"""Training on labels of which some are wrong, steered by a few that were checked."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.method import METHODS, Method, Ratio, over_batch


@METHODS.register("audit")
@dataclasses.dataclass(frozen=True)
class Audit(Method):
    """Corrects targets and weighs rows by the probability that a label is right.

    With r_i that probability (see `training.audit`) and g_i the network's sharpened prediction:
    the target is r_i onehot(label) + (1 - r_i) g_i, and the trust u_i = max(r_i, max g_i), at least
    `floor`. A mixed row weighs lambda u_i + (1 - lambda) u_j, over the batch's mean. The policy
    `dynamic` mixes by trust too. Before the first audit every label counts as right.

    Attributes:
        targets: whether targets are corrected.
        weights: whether rows are weighed.
        start: share of the run before the first audit.
        period: share of the run from one audit to the next.
        temperature: T of the sharpening.
        floor: the least trust.
    """

    targets: bool = True
    weights: bool = True
    start: float = 0.25
    period: float = 1 / 12
    temperature: float = 0.5
    floor: float = 0.05
    audits: ClassVar[bool] = True

    def __post_init__(self):
        for name in ("start", "period", "temperature", "floor"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"audit: {name}={getattr(self, name)} must lie in (0, 1]")

    def audit_steps(self, steps: int) -> list[int]:
        """Returns the steps, of a run of `steps`, before which the labels are audited."""
        count = int((1 - self.start) / self.period - 1e-9) + 1
        found = {round(steps * (self.start + number * self.period)) for number in range(count)}
        return sorted(step for step in found if step < steps)

    def corrected(
        self, given: tf.Tensor, right: tf.Tensor, guess: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes targets [n, classes] and trust [n].

        Args:
            given: the labels, one-hot [n, classes].
            right: the probability that they are right, [n].
            guess: the network's sharpened predictions [n, classes], zeros before the first audit.
        """
        trust = tf.maximum(tf.maximum(right, tf.reduce_max(guess, axis=-1)), self.floor)
        share = right[:, None]
        return (share * given + (1 - share) * guess if self.targets else given), trust

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B, weighed by trust, and the mean trust."""
        del clock
        each = losses.cross_entropy(mixture.y, forward(mixture.x))
        watched = {"trust": Ratio.mean(mixture.examples.trust)}
        if not self.weights:
            return over_batch(each, batch), watched
        trust = mixture.of(mixture.examples.trust)
        mean = replicas.total(tf.reduce_mean(trust)) / replicas.count()
        return over_batch(trust / mean * each, batch), watched
