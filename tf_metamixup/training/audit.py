"""The audit of labels: which given labels are right, and what to train on instead.

Every so often one pass over the training images, without augmentation, gives the network's
predictions. A logistic regression on the audited images, whose labels were checked, turns them into
the probability that each given label is right (`core.label_trust`). Until the next audit this
decides the targets, and how far each row is trusted.
"""

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup.core import label_trust
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import fold, root
from tf_metamixup.data.images import Audited
from tf_metamixup.data.stream import Stream


class Audit:
    """Holds what the last audit found of each training image.

    Args:
        trainer: whose network is asked.
        labelled: the training images with the labels that they were given. A stream of ours: the
            audit has to know which image is which.
        audited: the checked images.
        steps: of the whole run.

    Attributes:
        steps: before which labels are audited: a call of `Graphs.train` begins there.
        variables: what a checkpoint holds.
        stream: the images, with their positions in the place of labels.

    Raises:
        UserError: the data set is a user's own, or has no audited image.
    """

    def __init__(self, trainer, labelled: Stream, audited: Audited | None, steps: int):
        if audited is None or not len(audited.labels):
            raise UserError("an audit needs checked images, and there are none: raise --num_meta")
        self._trainer, self._method, self._audited = trainer, trainer.method, audited
        self.steps = self._method.audit_steps(steps)
        self._images, given = labelled.whole()
        self._given = tf.cast(given, tf.int64)
        self.stream = labelled.numbered()
        count, classes = len(self._given), trainer.classes
        # Checked labels stay as they are, whatever the network says.
        self._doubted = np.arange(count) < labelled.doubted
        with trainer.strategy.scope():
            dtype = trainer.model.variable_dtype
            self._right = _variable("right", np.ones(count), dtype)
            self._guess = _variable("guess", np.zeros((count, classes)), dtype)
        self.variables = [self._right, self._guess]

    def update(self, step: int) -> None:
        """Audits the labels with the current weights, before `step` is taken."""
        audited = self._audited
        checked = self._trainer.evaluator.probabilities(audited.images)
        given = audited.given
        if given is None:
            seed = fold(fold(root(self._trainer.seed), "audit"), step).numpy()
            generator = np.random.default_rng(seed % 2**64)
            given = label_trust.injected(checked, audited.labels, generator)
        weights = label_trust.fit(label_trust.features(checked, given), given == audited.labels)
        p = self._trainer.evaluator.probabilities(self._images)
        right = label_trust.sigmoid(label_trust.features(p, self._given.numpy()) @ weights)
        self._right.assign(np.where(self._doubted, right, 1.0))
        self._guess.assign(label_trust.sharpened(p, self._method.temperature))

    def relabelled(self, raw: dict[str, tuple]) -> tuple[dict[str, tuple], tf.Tensor]:
        """Returns the streams' elements with targets in place of positions, and the trust [n]."""
        images, positions = raw["labelled"]
        given = tf.one_hot(
            tf.gather(self._given, positions), self._trainer.classes, dtype=self._right.dtype
        )
        right, guess = (tf.gather(tf.convert_to_tensor(v), positions) for v in self.variables)
        targets, trust = self._method.corrected(given, right, guess)
        return {**raw, "labelled": (images, targets)}, trust


def _variable(name: str, value: np.ndarray, dtype: str) -> keras.Variable:
    return keras.Variable(
        value,
        dtype=dtype,
        trainable=False,
        # Every replica holds all of them.
        aggregation="only_first_replica",
        name=f"audit_{name}",
    )
