"""The audit of labels: which given labels are right, and what to train on instead.

Every so often one pass over the training images, without augmentation, gives the network's
predictions, from which the method judges the labels (`methods.label_judge`). What it finds decides,
until the next audit, what each row is trained on.
"""

import functools

import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.data.images import Audited
from tf_metamixup.data.stream import Stream
from tf_metamixup.methods.label_judge import Checked, Evidence
from tf_metamixup.models.network import unlearned


class LabelAudit:
    """Holds what the last audit found of each training image.

    Args:
        trainer: whose network is asked, and whose method judges.
        labelled: the training images with the labels that they were given. A stream of ours: the
            audit has to know which image is which.
        audited: the checked images, for a method that needs some.
        steps: of the whole run.

    Attributes:
        steps: before which labels are audited: a call of `Graphs.train` begins there.
        variables: what a checkpoint holds.
        stream: the images, with their positions in the place of labels.

    Raises:
        UserError: the data set is a user's own, or has no audited image where it needs some.
    """

    def __init__(self, trainer, labelled: Stream, audited: Audited | None, steps: int):
        self._trainer, self._method = trainer, trainer.method
        if self._method.audits and (audited is None or not len(audited.labels)):
            raise UserError(
                f"method {self._method} needs checked images, but there are none: raise --num_meta "
                "or, in Python, pass fit() the `audited` images that data.streams(..., "
                "audits=method.audits) returns"
            )
        self._audited = audited
        self._labelled = labelled
        self._given = tf.cast(labelled.labels, tf.int64)
        self.stream = labelled.numbered()
        self.steps = self._method.audit_steps(steps, len(self._given) / labelled.batch_size)
        self._untrusted = labelled.untrusted
        state = self._method.initial_state(len(self._given), trainer.classes)
        with trainer.strategy.scope():
            dtype = trainer.model.variable_dtype
            self._state = {
                n: unlearned(tf.constant(v, dtype), f"audit_{n}") for n, v in state.items()
            }
        self.variables = list(self._state.values())

    def update(self) -> None:
        """Audits the labels with the current weights."""
        audited = self._audited if self._method.audits else None
        found = evidence(self._trainer, self._labelled, audited)
        for name, value in self._method.judge(found, self.state).items():
            self._state[name].assign(value)

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Returns what the method has found, by name; see `LabelJudge.initial_state`."""
        return {name: value.numpy() for name, value in self._state.items()}

    def relabelled(self, raw: dict[str, tuple]) -> tuple[dict[str, tuple], dict[str, tf.Tensor]]:
        """Returns the streams' elements with targets in place of positions, and more of `Batch`."""
        images, positions = raw["labelled"]
        state = {name: tf.convert_to_tensor(v) for name, v in self._state.items()}
        dtype = self._trainer.model.variable_dtype
        given = tf.one_hot(tf.gather(self._given, positions), self._trainer.classes, dtype=dtype)
        untrusted = tf.gather(self._untrusted, positions)
        targets, judged = self._method.relabel(given, untrusted, positions, state)
        return {**raw, "labelled": (images, targets)}, judged


def evidence(trainer, labelled: Stream, audited: Audited | None) -> Evidence:
    """Collects the evidence about labels at the current weights; see `Evidence`.

    Args:
        trainer: whose network is asked.
        labelled: the training images.
        audited: the checked images; None without.
    """
    predict, checked = trainer.evaluator.probabilities, None
    if audited is not None:
        with tf.device("CPU:0"):  # an array would be a constant of a pipeline's graph
            read = functools.partial(tf.gather, tf.convert_to_tensor(audited.images))
        checked = Checked(predict(read, len(audited.labels)), audited.labels, audited.given)
    given = labelled.labels.numpy()
    return Evidence(predict(labelled.read, len(given)), given, labelled.untrusted, checked)
