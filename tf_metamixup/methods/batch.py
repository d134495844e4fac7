"""What one training step is given."""

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from tf_metamixup.core import divergence
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import replicas
from tf_metamixup.models.network import Network

_PROBLEM = "in the data, "


class Batch(NamedTuple):
    """Holds this replica's rows of the global batch, scaled, targets as probabilities.

    Attributes:
        x: labelled images [n, H, W, C].
        y: their targets [n, classes].
        u: unlabelled images, one axis of views: [n, V, H, W, C]; None without them.
        u_labels: their true labels int64 [n], -1 where unknown; read by metrics alone.
        x_meta: meta images [m, H, W, C], or the head's cached input where features are
            cached; None without a meta set.
        y_meta: their targets [m, classes].
    """

    x: tf.Tensor
    y: tf.Tensor
    u: tf.Tensor | None = None
    u_labels: tf.Tensor | None = None
    x_meta: tf.Tensor | None = None
    y_meta: tf.Tensor | None = None


def targets(labels: tf.Tensor, classes: int, dtype) -> tf.Tensor:
    """Converts integer labels [n] or probabilities [n, classes] to probabilities [n, classes].

    Raises:
        tf.errors.InvalidArgumentError: a label that is none; see `problem_of`.
    """
    if labels.dtype.is_integer:
        labels = tf.cast(labels, tf.int64)
        told = f"{_PROBLEM}a label is not one of the {classes} classes, 0 to {classes - 1}; labels:"
        inside = tf.reduce_all((labels >= 0) & (labels < classes))
        known = tf.debugging.Assert(inside, [told, labels], summarize=32)
        with tf.control_dependencies([known] if known is not None else []):
            return tf.one_hot(labels, classes, dtype=dtype)
    return finite(tf.cast(labels, dtype), "a label")


def pixels(images: tf.Tensor, network: Network) -> tf.Tensor:
    """Converts `images` [n, ...] to what the network takes.

    Raises:
        tf.errors.InvalidArgumentError: they are not numbers; see `problem_of`.
    """
    return network.preprocess(finite(images, "a pixel") if images.dtype.is_floating else images)


def finite(values: tf.Tensor, what: str) -> tf.Tensor:
    """Returns `values`, which must be finite.

    Raises:
        tf.errors.InvalidArgumentError: they are not; see `problem_of`.
    """
    checked = tf.debugging.Assert(
        tf.reduce_all(tf.math.is_finite(values)),
        [f"{_PROBLEM}{what} is NaN or infinite; clean the data before training"],
    )
    with tf.control_dependencies([checked] if checked is not None else []):
        return tf.identity(values)


def evenly_dealt(rows: tf.Tensor) -> tf.Tensor:
    """Returns this replica's `rows` [n, ...]; every replica must have as many.

    Raises:
        tf.errors.InvalidArgumentError: another has more or fewer; see `problem_of`.
    """
    count = tf.shape(rows)[0]
    if replicas.count() == 1:
        return rows
    told = f"{_PROBLEM}a batch cannot be dealt evenly to {replicas.count()} replicas; rows:"
    total = replicas.total(count)
    dealt = tf.debugging.Assert(total == count * replicas.count(), [told, total])
    with tf.control_dependencies([dealt] if dealt is not None else []):
        return tf.identity(rows)


def problem_of(error: tf.errors.InvalidArgumentError) -> str | None:
    """Returns what is wrong with the data, in one line, if that is what `error` says."""
    lines = error.message.partition(_PROBLEM)[2].splitlines()
    return lines[0].replace("[", "").replace("]", "") if lines else None


@contextlib.contextmanager
def problems_told() -> Iterator[None]:
    """Raises UserError for what a graph found wrong with data or weights, or XLA with the model."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        problem = problem_of(error) or divergence.divergence_in(error)
        if unsupported := re.search(r"unsupported operations .* on XLA_\w+: (\w+)", error.message):
            problem = (
                f"jit: XLA cannot compile this step, since it knows no operation "
                f"{unsupported[1]}; change the layer that uses it, or leave jit out"
            )
        if problem is None:
            raise
        raise UserError(problem) from None


def check_images(name: str, images: tf.TensorSpec, shape: tuple, *, views: bool = False) -> None:
    """Refuses images of a stream that the model does not take.

    Args:
        name: of the stream.
        images: [n, ...], or [n, V, ...] with `views`.
        shape: (None, ...), what the model takes.
        views: whether there is an axis of views.

    Raises:
        UserError: they have another shape, or are no numbers.
    """
    given = images.shape[2 if views else 1 :]
    if not (images.dtype.is_integer or images.dtype.is_floating):
        raise UserError(
            f"the images of the `{name}` data must be numbers, and they are {images.dtype.name}"
        )
    if not given.is_compatible_with(shape[1:]):
        raise UserError(
            f"the images of the `{name}` data must have the model's input shape "
            f"[rows, {', '.join(map(str, shape[1:]))}], and they are {images.shape.as_list()}"
        )


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
    """Makes the batch from the streams' elements, `(images, labels)` by stream name."""

    def ready(images, labels):
        # Losses are worked out in the weights' precision, whatever the layers compute in.
        return pixels(images, network), targets(labels, classes, network.model.variable_dtype)

    batch = Batch(*ready(*raw["labelled"]))
    if "unlabelled" in raw:
        u, u_labels = raw["unlabelled"]
        batch = batch._replace(u=pixels(u, network), u_labels=u_labels)
    if "meta" in raw:
        x_meta, y_meta = ready(*raw["meta"])
        batch = batch._replace(x_meta=x_meta, y_meta=y_meta)
    return batch
