"""The loss of each training image when it was last trained on."""

import keras
import tensorflow as tf

from tf_metamixup import replicas

UNKNOWN = -1


class RememberedLosses:
    """One number an image, the same on every replica.

    Args:
        images: how many images there are.
        start: what is remembered of an image that was never seen.
        dtype: of the losses.
    """

    def __init__(self, images: int, start: float, dtype: str):
        self._losses = keras.Variable(
            tf.fill([images], tf.cast(start, dtype)),
            dtype=dtype,
            trainable=False,
            # Every replica computes the same.
            aggregation="only_first_replica",
            name="remembered_losses",
        )
        self._start = start

    @property
    def variables(self) -> list[keras.Variable]:
        """What a checkpoint holds."""
        return [self._losses]

    def of(self, images: tf.Tensor) -> tf.Tensor:
        """The losses [N] of the images numbered int64 [N]; the start of those UNKNOWN."""
        losses = tf.convert_to_tensor(self._losses)
        found = tf.gather(losses, tf.maximum(images, 0))
        return tf.where(images == UNKNOWN, tf.cast(self._start, losses.dtype), found)

    def remember(self, images: tf.Tensor, losses: tf.Tensor) -> None:
        """Takes in losses [N] of images [N], of all replicas; their mean where one is there twice.

        Rows of UNKNOWN images are left out.
        """
        if replicas.count() > 1:
            context = tf.distribute.get_replica_context()
            images, losses = context.all_gather([images, losses], axis=0)
        old = tf.convert_to_tensor(self._losses)
        losses = tf.cast(losses, old.dtype)
        # Segments below zero are left out.
        total = tf.math.unsorted_segment_sum(losses, images, len(old))
        count = tf.math.unsorted_segment_sum(tf.ones_like(losses), images, len(old))
        self._losses.assign(tf.where(count > 0, tf.math.divide_no_nan(total, count), old))
