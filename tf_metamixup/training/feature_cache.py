"""The whole meta set at every step: its features below the head, cached and refreshed.

When the virtual step touches the head alone, what the body makes of the meta images does not depend
on it. It is computed once every few steps, and the meta loss of each step is that of the head on
all the cached features: less noise than a small batch, and no pass through the body.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.batch import pixels, targets
from tf_metamixup.models import head
from tf_metamixup.models.network import Network, unlearned

# About so many pixels go through the body at once: 4,096 images of 32 by 32, 84 of 224 by 224. The
# graph holds a copy of the body for each pass.
PIXELS_PER_PASS = 2**22


class FeatureCache:
    """Holds what the layers below the head make of the meta images.

    Every replica holds all of them and computes the loss of an equal share.

    Args:
        network: whose model is split; made inside its strategy's scope.
        images: the meta images, as they are stored, [M, H, W, C]; M is a multiple of the replicas.
        labels: integers [M] or probabilities [M, classes].
        classes: their number.

    Raises:
        UserError: the model cannot be split, or there are fewer images than replicas.
    """

    def __init__(self, network: Network, images: tf.Tensor, labels: tf.Tensor, classes: int):
        self._network = network
        self._body, self._head = head.split(network.model)
        self._share = len(images) // replicas.count()
        if not self._share:
            raise UserError("the meta set has fewer images than there are replicas or row groups")
        self._images, self._given_labels, self._classes = images, labels, classes
        # A user's rows need not be images.
        passes = -(-self._share * math.prod(images.shape[1:3]) // PIXELS_PER_PASS)
        self._rows_per_pass = -(-self._share // passes)
        count, features = self._share * replicas.count(), self._body.outputs[0]
        dtype = network.model.variable_dtype
        zeros = tf.zeros([count, *features.shape[1:]], features.dtype)
        self._features = unlearned(zeros, "cached_features")
        # Kept with the features, since a data set that is read again may come in another order.
        self._labels = unlearned(tf.zeros([count, classes], dtype), "cached_labels")
        self._initialized = unlearned(tf.constant(False), "cached_initialized")

    @property
    def variables(self) -> list[keras.Variable]:
        """Returns what a checkpoint holds: a resumed run goes on with features as old as these."""
        return [self._features, self._labels, self._initialized]

    def is_due(self, should_refresh: tf.Tensor) -> tf.Tensor:
        """Returns whether the features are to be computed: also the first time, a bool scalar."""
        return should_refresh | ~tf.convert_to_tensor(self._initialized)

    def refresh(self, draws: Draws, should_refresh: bool | tf.Tensor = True) -> None:
        """Computes the features at the current weights, with the batch statistics of each pass.

        A pass is over a part of each replica's share: where one is not enough, replicas differ from
        one device also with synchronized BatchNorm.

        Args:
            draws: decide the dropout masks.
            should_refresh: whether they are computed again once initialized; a tensor decides
                within a graph.
        """

        def computed():
            images, parts = self._share_of(self._images), []
            for first in range(0, self._share, self._rows_per_pass):
                # One after the other: side by side they would need the memory of all at once.
                with tf.control_dependencies(parts[-1:]):
                    x = pixels(images[first : first + self._rows_per_pass], self._network, "meta")
                    parts.append(self._network.apply(self._body, self._network.theta, x, draws)[0])
            y = targets(self._given_labels, self._classes, self._labels.dtype, "meta")
            return tf.concat(parts, axis=0), y

        def unchanged():
            return self.rows()[0], tf.convert_to_tensor(self._labels)

        # Replicas may not meet within a condition: they gather and assign in any case.
        if should_refresh is True:
            features, y = computed()
        else:
            features, y = tf.cond(self.is_due(should_refresh), computed, unchanged)
        if replicas.count() > 1:
            context = tf.distribute.get_replica_context()
            features = context.all_gather(features, axis=0)
        self._features.assign(features)
        self._labels.assign(y)
        self._initialized.assign(True)

    def rows(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns this replica's (features [m, ...], target probabilities [m, classes])."""
        features, y = (tf.convert_to_tensor(each) for each in (self._features, self._labels))
        return self._share_of(features), self._share_of(y)

    def logits(self, theta: Sequence[tf.Tensor], features: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Returns logits [m, classes] of the head at `theta`, in training mode; is pure."""
        return self._network.apply(self._head, theta, features, draws)[0]

    def _share_of(self, values: tf.Tensor) -> tf.Tensor:
        first = tf.cast(replicas.index(), tf.int32) * self._share
        return values[first : first + self._share]
