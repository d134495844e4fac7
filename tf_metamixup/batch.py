"""What one training step is given."""

from typing import NamedTuple

import tensorflow as tf

from tf_metamixup.errors import UserError
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
    """Integer labels [n] or probabilities [n, classes] as probabilities [n, classes].

    Raises:
        tf.errors.InvalidArgumentError: an integer label that is no class.
    """
    if labels.dtype.is_integer:
        within = tf.debugging.assert_less(
            tf.cast(labels, tf.int64), tf.cast(classes, tf.int64), "a label is not below `classes`"
        )
        above = tf.debugging.assert_non_negative(labels, "a label is negative")
        with tf.control_dependencies([check for check in (within, above) if check is not None]):
            return tf.one_hot(labels, classes, dtype=dtype)
    return tf.cast(labels, dtype)


def check_labels(name: str, labels: tf.TensorSpec, classes: int) -> None:
    """Refuses labels of a stream that would broadcast into wrong losses.

    Raises:
        UserError: they are neither integers [n] nor probabilities [n, classes].
    """
    if labels.dtype.is_integer and labels.shape.rank == 1:
        return
    if labels.dtype.is_floating and labels.shape.rank == 2 and labels.shape[1] == classes:
        return
    raise UserError(
        f"the labels of the `{name}` data must be integers of the shape [rows] or probabilities of "
        f"the shape [rows, {classes}], and they are {labels.dtype.name} {list(labels.shape)}"
    )


def prepare(raw: dict[str, tuple[tf.Tensor, ...]], network: Network, classes: int) -> Batch:
    """The streams' elements, `(images, labels)` by stream name, as the step takes them."""

    def ready(images, labels):
        # Losses are worked out in the weights' precision, whatever the layers compute in.
        return network.preprocess(images), targets(labels, classes, network.model.variable_dtype)

    x, y = ready(*raw["labelled"])
    batch = Batch(x, y)
    if "unlabelled" in raw:
        u, u_labels = raw["unlabelled"]
        batch = batch._replace(u=network.preprocess(u), u_labels=u_labels)
    if "meta" in raw:
        x_meta, y_meta = ready(*raw["meta"])
        batch = batch._replace(x_meta=x_meta, y_meta=y_meta)
    return batch
