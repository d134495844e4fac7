"""Gold Loss Correction (Hendrycks et al. 2018): labels go wrong by class, and that is estimated."""

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core import label_trust
from tf_metamixup.methods.label_judge import LabelJudge, check_share
from tf_metamixup.methods.method import METHODS, labelled, over_batch


@METHODS.register("glc")
@dataclasses.dataclass(frozen=True)
class GoldLossCorrection(LabelJudge):
    """Learns how labels go wrong from the trusted images, and corrects the loss of the others.

    Until `start` the given labels alone are learned; trusted rows are left out. Then the transition
    matrix C, P(given label | class), is estimated once: row k is the mean prediction on trusted
    images of class k. From there on a row with a given label y costs -log(sum_k C[k, y] p_k), and a
    trusted row plain cross-entropy. The paper trains a second network from the beginning, which
    costs twice as much; here the same one goes on.

    The paper does not mix (policy `none`). A mixed row costs lambda times the corrected loss of its
    own label plus 1 - lambda times that of its partner's, each by its own column of C; with C the
    identity that is MixUp's loss.

    Attributes:
        start: fraction of the run before C is estimated.
    """

    start: float = 0.25
    audits: ClassVar[str] = "all"
    reads_targets: ClassVar[bool] = False

    def __post_init__(self):
        check_share(self, "start")

    def audit_steps(self, steps, epoch_steps):
        return [step for step in [round(steps * self.start)] if step < steps]

    def initial_state(self, count, classes):
        return {"transition": np.eye(classes), "estimated": np.zeros(())}

    def judge(self, evidence, state):
        p, labels, _ = evidence.checked
        return {"transition": label_trust.transition(p, labels), "estimated": np.ones(())}

    def relabel(self, given, untrusted, positions, state):
        corrected = tf.matmul(given, state["transition"], transpose_b=True)
        # As likely whatever the class is: such a label says nothing.
        plain = tf.where(state["estimated"] > 0, given, 1)
        return given, {"likelihood": tf.where(untrusted[:, None], corrected, plain)}

    def examples(self, forward, batch, clock, groups):
        """Returns the labelled rows, without those whose labels say nothing yet."""
        says = tf.reduce_any(batch.likelihood < 1, axis=-1)
        return labelled(batch, groups)._replace(weight=tf.cast(says, batch.y.dtype))

    def loss(self, forward, mixture, batch, clock):
        """Computes the corrected cross-entropy over B, mixed by label."""
        logits = forward(mixture.x)
        own = losses.forward_corrected(batch.likelihood, logits)
        other = losses.forward_corrected(tf.gather(batch.likelihood, mixture.partner), logits)
        each = mixture.lam * own + (1 - mixture.lam) * other
        return over_batch(mixture.examples.weight * each, batch), {}
