"""What one training step is given."""

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from tf_metamixup.core import divergence
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.graph_checks import problem_of, required
from tf_metamixup.distribution import replicas
from tf_metamixup.models.network import Network


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
        trust: how far each of `y` is trusted, [n] in [0, 1]; None where nothing says.
        likelihood: P(the given label | each class), [n, classes]; None where nothing says.
    """

    x: tf.Tensor
    y: tf.Tensor
    u: tf.Tensor | None = None
    u_labels: tf.Tensor | None = None
    x_meta: tf.Tensor | None = None
    y_meta: tf.Tensor | None = None
    trust: tf.Tensor | None = None
    likelihood: tf.Tensor | None = None


def targets(labels: tf.Tensor, classes: int, dtype, stream: str = "labelled") -> tf.Tensor:
    """Converts labels of any kind that `training.data_checks` lets in to probabilities.

    Args:
        labels: integers [n] or [n, 1], one-hot integers or probabilities [n, classes].
        classes: their number.
        dtype: of the result.
        stream: what the data is called in a message.

    Returns:
        [n, classes].

    Raises:
        tf.errors.InvalidArgumentError: a label that is none; see `problem_of`.
    """
    if labels.shape.rank == 1 or labels.shape[1] == 1:
        labels = tf.cast(tf.reshape(labels, [-1]), tf.int64)
        inside = tf.reduce_all((labels >= 0) & (labels < classes))
        what = f"a label is not one of the {classes} classes, 0 to {classes - 1}; they go from, to:"
        with required(inside, stream, what, *_range(labels)):
            return tf.one_hot(labels, classes, dtype=dtype)
    # Probabilities that were rounded to half precision sum to 1 only so far.
    tolerance = 2e-2 if labels.dtype.size == 2 else 1e-3
    probabilities = finite(tf.cast(labels, dtype), "a label", stream)
    totals = tf.reduce_sum(probabilities, axis=1)
    inside = tf.reduce_all(probabilities >= 0) & tf.reduce_all(abs(totals - 1) <= tolerance)
    what = "the probabilities of a label are negative or do not sum to 1; sums go from, to:"
    with required(inside, stream, what, *_range(totals)):
        return tf.identity(probabilities)


def _range(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.reduce_min(values), tf.reduce_max(values)


def pixels(images: tf.Tensor, network: Network, stream: str = "labelled") -> tf.Tensor:
    """Converts `images` [n, ...] to what the network takes.

    Raises:
        tf.errors.InvalidArgumentError: they are not numbers; see `problem_of`.
    """
    if images.dtype.is_floating:
        images = finite(images, "a pixel", stream)
    return network.preprocess(images)


def finite(values: tf.Tensor, what: str, stream: str) -> tf.Tensor:
    """Returns `values`, which must be finite.

    Raises:
        tf.errors.InvalidArgumentError: they are not; see `problem_of`.
    """
    inside = tf.reduce_all(tf.math.is_finite(values))
    with required(inside, stream, f"{what} is NaN or infinite; clean the data before training"):
        return tf.identity(values)


def evenly_sharded(rows: tf.Tensor) -> tf.Tensor:
    """Returns this replica's `rows` [n, ...]; every replica must have as many.

    Raises:
        tf.errors.InvalidArgumentError: another has more or fewer; see `problem_of`.
    """
    count = tf.shape(rows)[0]
    if replicas.count() == 1:
        return rows
    total = replicas.total(count)
    what = f"a batch cannot be split evenly over {replicas.count()} replicas; rows:"
    with required(total == count * replicas.count(), "labelled", what, total):
        return tf.identity(rows)


def with_pairs(rows: tf.Tensor, before: tf.Tensor, *, mixes: bool) -> tf.Tensor:
    """Returns this replica's `rows` [n, ...]; where they are mixed, the first must be two or more.

    A later batch may be the short last one of an epoch. `before`: how many came before this one.

    Raises:
        tf.errors.InvalidArgumentError: there is one; see `problem_of`.
    """
    if not mixes:
        return rows
    where = f" on each of {replicas.count()} replicas" if replicas.count() > 1 else ""
    what = f"a batch of 1{where} has no pairs to mix: use larger batches, or policy none"
    with required((tf.shape(rows)[0] > 1) | (before > 0), "labelled", what):
        return tf.identity(rows)


def check_rows(images: tf.Tensor, labels: tf.Tensor, stream: str) -> None:
    """Fails, in a graph, unless there are as many labels as images."""
    images, labels = tf.shape(images)[0], tf.shape(labels)[0]
    with required(images == labels, stream, "a batch has not one label per image:", images, labels):
        pass


@contextlib.contextmanager
def translate_data_errors() -> Iterator[None]:
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


def smoothed(y: tf.Tensor, share: float) -> tf.Tensor:
    """Returns targets [n, classes] of which `share` is spread evenly over all classes.

    Label smoothing of Szegedy et al. (2016), section 7; it works for soft targets as well.

    >>> smoothed(tf.constant([[1.0, 0.0]]), 0.1).numpy().round(2)
    array([[0.95, 0.05]], dtype=float32)
    """
    return y if not share else (1 - share) * y + share / y.shape[-1]


def make_batch(
    raw: dict[str, tuple[tf.Tensor, ...]],
    network: Network,
    classes: int,
    label_smoothing: float = 0.0,
    groups: int = 1,
) -> Batch:
    """Makes the batch from the streams' elements, `(images, labels)` by stream name.

    The meta set keeps its labels (eq. 9): they say what training is to come to.

    Raises:
        tf.errors.InvalidArgumentError: rows that the row `groups` of this replica cannot share
            evenly, or bad data; see `problem_of`.
    """

    def ready(stream):
        images, labels = raw[stream]
        check_rows(images, labels, stream)
        # Losses are worked out in the weights' precision, whatever the layers compute in.
        y = targets(labels, classes, network.model.variable_dtype, stream)
        return pixels(images, network, stream), y

    x, y = ready("labelled")
    if groups > 1:
        rows = tf.shape(x)[0]
        uneven = (
            f"a batch cannot be split evenly into {groups * replicas.count()} row groups: drop a "
            "short one with .batch(n, drop_remainder=True); rows of a replica:"
        )
        with required(rows % groups == 0, "labelled", uneven, rows):
            x = tf.identity(x)
    batch = Batch(x, smoothed(y, label_smoothing))
    if "unlabelled" in raw:
        u, u_labels = raw["unlabelled"]
        batch = batch._replace(u=pixels(u, network, "unlabelled"), u_labels=u_labels)
    if "meta" in raw:
        x_meta, y_meta = ready("meta")
        batch = batch._replace(x_meta=x_meta, y_meta=y_meta)
    return batch
