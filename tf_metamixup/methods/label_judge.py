"""What methods share that judge the given labels as they train, and act on what they find."""

import dataclasses
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core import label_trust
from tf_metamixup.core.errors import require
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.method import Method, Ratio, over_batch

# In a run of many epochs on few images the network memorizes wrong labels within a quarter of the
# run, and between audits that are a twelfth of it apart (docs/results.md).
MOST_EPOCHS_BEFORE = 20
MOST_EPOCHS_BETWEEN = 7


class Checked(NamedTuple):
    """Holds what is known of the images whose labels were checked.

    Attributes:
        probabilities: the network's, [M, classes].
        labels: checked, int [M].
        given: the noisy labels, int [M]; None where they never had one.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    given: np.ndarray | None


class Evidence(NamedTuple):
    """Holds what labels are judged by.

    Attributes:
        probabilities: the network's on the training images, without augmentation, [N, classes].
        given: their labels, int [N].
        untrusted: bool [N], false where a label was checked.
        checked: of a method that `audits`, else None.
    """

    probabilities: np.ndarray
    given: np.ndarray
    untrusted: np.ndarray
    checked: Checked | None


class LabelJudge(Method):
    """Judges labels between steps; `training.audit` asks it to, and keeps what it found."""

    judges: ClassVar[bool] = True

    def audit_steps(self, steps: int, epoch_steps: float) -> list[int]:
        """Returns the steps, of a run of `steps`, before which labels are judged.

        In `epoch_steps` steps as many rows are read as there are images.
        """
        raise NotImplementedError

    def initial_state(self, count: int, classes: int) -> dict[str, np.ndarray]:
        """Returns what is known of labels before they are first judged; it is checkpointed."""
        raise NotImplementedError

    def judge(self, evidence: Evidence, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the state that follows on `state`; both are like `initial_state`."""
        raise NotImplementedError

    def relabel(
        self,
        given: tf.Tensor,
        untrusted: tf.Tensor,
        positions: tf.Tensor,
        state: dict[str, tf.Tensor],
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns targets [n, classes], and what else of `Batch` follows, by name.

        Args:
            given: the rows' labels, one-hot [n, classes].
            untrusted: bool [n], false where they were checked.
            positions: of the rows among the training images, int [n].
            state: what `judge` returned last.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LabelTrust(LabelJudge):
    """Corrects targets and weighs rows by the probability that a label is right.

    With r_i that probability and g_i the sharpened probabilities of the classes (`assess`): the
    target is r_i onehot(label) + (1 - r_i) g_i, and the trust u_i = max(r_i, max g_i), at least
    `floor`. A mixed row weighs lambda u_i + (1 - lambda) u_j, over the batch's mean. The policy
    `dynamic` mixes by trust too. Before labels are first judged all count as right, and checked
    ones always do.

    Attributes:
        targets: whether targets are corrected.
        weights: whether rows are weighed.
        start: fraction of the run before labels are first judged; by default a quarter, and 20
            epochs at most.
        period: fraction of the run from one time to the next; by default a twelfth, and 7 epochs
            at most.
        temperature: T of the sharpening.
        floor: the least trust.
    """

    targets: bool = True
    weights: bool = True
    start: float | None = None
    period: float | None = None
    temperature: float = 0.5
    floor: float = 0.05
    trusts: ClassVar[bool] = True

    def __post_init__(self):
        for name in ("start", "period", "temperature", "floor"):
            if getattr(self, name) is not None:
                check_share(self, name)

    def assess(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
        """Computes P(label is right) [N] and P(class) [N, classes] of each training image."""
        raise NotImplementedError

    def audit_steps(self, steps, epoch_steps):
        epoch = epoch_steps / steps
        start = self.start or min(1 / 4, MOST_EPOCHS_BEFORE * epoch)
        period = self.period or min(1 / 12, MOST_EPOCHS_BETWEEN * epoch)
        count = int((1 - start) / period - 1e-9) + 1
        found = {round(steps * (start + number * period)) for number in range(count)}
        return sorted(step for step in found if step < steps)

    def initial_state(self, count, classes):
        found = {"right": np.ones(count), "guess": np.zeros((count, classes))}
        return found | {"average": np.zeros(count), "audits": np.zeros(())}

    def judge(self, evidence, state):
        right, classes = self.assess(evidence)
        return {
            "right": np.where(evidence.untrusted, right, 1.0),
            "guess": label_trust.sharpened(classes, self.temperature),
            "average": self.averaged(state, right),
            "audits": state["audits"] + 1,
        }

    def averaged(self, state: dict[str, np.ndarray], right: np.ndarray) -> np.ndarray:
        """Averages P(label is right) over a run's audits and the next one, `right` [N].

        The nth audit has weight n. At the end of a long run the network has memorized wrong labels
        that it once doubted (docs/results.md, "Few images and many epochs").
        """
        return state["average"] + (right - state["average"]) * 2 / (state["audits"] + 2)

    def relabel(self, given, untrusted, positions, state):
        right, guess = (tf.gather(state[name], positions) for name in ("right", "guess"))
        targets, trust = self.corrected(given, right, guess)
        return targets, {"trust": trust}

    def corrected(
        self, given: tf.Tensor, right: tf.Tensor, guess: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes targets [n, classes] and trust [n].

        Args:
            given: the labels, one-hot [n, classes].
            right: the probability that they are right, [n].
            guess: the sharpened probabilities of the classes [n, classes]; zeros before the first
                audit.
        """
        trust = tf.maximum(tf.maximum(right, tf.reduce_max(guess, axis=-1)), self.floor)
        share = right[:, None]
        return (share * given + (1 - share) * guess if self.targets else given), trust

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B, weighed by trust, and the mean trust."""
        each = losses.cross_entropy(mixture.y, forward(mixture.x))
        watched = {"trust": Ratio.mean(mixture.examples.trust)}
        if not self.weights:
            return over_batch(each, batch), watched
        trust = mixture.of(mixture.examples.trust)
        return over_batch(trust / replicas.mean(tf.reduce_mean(trust)) * each, batch), watched


def check_share(method: Method, name: str) -> None:
    """Refuses an option of a method that does not lie in (0, 1], or `start` at the end of a run."""
    value = getattr(method, name)
    if name == "start":
        require(0 < value < 1, f"method {method}: start={value}", "lie in (0, 1)")
    require(0 < value <= 1, f"method {method}: {name}={value}", "lie in (0, 1]")
