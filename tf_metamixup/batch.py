"""What one training step is given."""

from typing import NamedTuple

import tensorflow as tf

from tf_metamixup.network import Network


class Batch(NamedTuple):
    """This replica's rows of the global batch, scaled, targets as probabilities.

    Attributes:
        x: labelled images [n, H, W, C].
        y: their targets [n, classes].
        u: unlabelled images, one axis of views: [n, V, H, W, C]; None without them.
        u_labels: their true labels int64 [n], -1 where unknown; read by metrics alone.
        x_meta: meta images [m, H, W, C]; None without a meta set.
        y_meta: their targets [m, classes].
    """

    x: tf.Tensor
    y: tf.Tensor
    u: tf.Tensor | None = None
    u_labels: tf.Tensor | None = None
    x_meta: tf.Tensor | None = None
    y_meta: tf.Tensor | None = None


def targets(labels: tf.Tensor, classes: int, dtype) -> tf.Tensor:
    """Integer labels [n] or probabilities [n, classes] as probabilities."""
    if labels.dtype.is_integer:
        return tf.one_hot(labels, classes, dtype=dtype)
    return tf.cast(labels, dtype)


def prepare(raw: dict[str, tuple[tf.Tensor, ...]], network: Network, classes: int) -> Batch:
    """The streams' elements, `(images, labels)` by stream name, as the step takes them."""

    def ready(images, labels):
        images = network.preprocess(images)
        return images, targets(labels, classes, images.dtype)

    x, y = ready(*raw["labelled"])
    batch = Batch(x, y)
    if "unlabelled" in raw:
        u, u_labels = raw["unlabelled"]
        batch = batch._replace(u=network.preprocess(u), u_labels=u_labels)
    if "meta" in raw:
        x_meta, y_meta = ready(*raw["meta"])
        batch = batch._replace(x_meta=x_meta, y_meta=y_meta)
    return batch
