"""Checks of the first batch of a stream: whether there is one, its values, its scale.

Later batches are checked within the graph; see `methods.batch`.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tf_metamixup.core.autograph import unconverted
from tf_metamixup.core.autotuning import untuned
from tf_metamixup.core.errors import UserError, reason
from tf_metamixup.distribution.workers import LOST
from tf_metamixup.methods.batch import check_rows, finite, targets, translate_data_errors

# Times the span of the training images. Standardized ones span about 5, those in [0, 1] 1.
_ANOTHER_SCALE = 8
# Images that a scale is taken of.
_SOME = 64


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Raises UserError with the stream's name for what goes wrong where its data is read."""
    try:
        with translate_data_errors():
            yield
    except tf.errors.OpError as error:
        if isinstance(error, LOST) and "/job:worker" in error.message:
            raise  # of the job, which `Workers.watched` reports
        raise UserError(f"the `{name}` data cannot be read: {reason(error)}") from error


def read(name: str, batches: Iterable) -> Iterator[Any]:
    """Yields the batches of a stream.

    Raises:
        UserError: one cannot be read.
    """
    iterator = iter(untuned(batches) if isinstance(batches, tf.data.Dataset) else batches)
    while True:
        with reading(name):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


def first_batch(name: str, batches: Iterable) -> Any:
    """Returns the first of a stream's batches, which start again for the next reader.

    Raises:
        UserError: there is none, it has no rows, or it cannot be read.
    """
    first = next(read(name, batches), None)
    if first is None or not len(tf.nest.flatten(first)[0]):
        raise UserError(
            f"the `{name}` data is empty, or cannot be read a second time: it gives no batch "
            "(from_generator takes a function that makes a new generator for each pass)"
        )
    return first


@unconverted
def check_values(name: str, images: tf.Tensor, labels: tf.Tensor, classes: int) -> None:
    """Refuses pixels that are not numbers and labels that are not classes or probabilities."""

    def checked(images, labels):
        check_rows(images, labels, name)
        if images.dtype.is_floating:
            images = finite(images, "a pixel", name)
        return images, targets(labels, classes, tf.float32, name)

    # In a graph, since there the messages are those of later batches.
    first_batch(name, tf.data.Dataset.from_tensors((images, labels)).map(checked))


class Scale(NamedTuple):
    """Says between which values pixels lie, as they are stored and as the model sees them."""

    low: float
    high: float
    seen_low: float
    seen_high: float
    dtype: str

    def __str__(self):
        return f"{self.low:.4g} to {self.high:.4g} ({self.dtype})"


def pixel_range(images: tf.Tensor, preprocess: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Returns the first four fields of a `Scale`, float32 [4], of some stored `images`."""
    images = images[:_SOME]
    both = [tf.cast(each, tf.float32) for each in (images, preprocess(images))]
    return tf.stack([end(each) for each in both for end in (tf.reduce_min, tf.reduce_max)])


def scale_of(images: tf.Tensor, preprocess: Callable[[tf.Tensor], tf.Tensor]) -> Scale:
    """Returns the scale of images; see `pixel_range`."""
    return Scale(*pixel_range(images, preprocess).numpy().tolist(), images.dtype.name)


def warn_of_scales(scales: Mapping[str, Scale]) -> None:
    """Warns where images of another stream have another scale than the "labelled" ones."""
    trained = scales["labelled"]
    for name, scale in scales.items():
        if _differ(trained, scale):
            warnings.warn(
                f"the `{name}` images range from {scale} and the `labelled` images from {trained}: "
                "the network cannot handle both; use the same scale for all data",
                stacklevel=2,
            )


def _differ(one: Scale, other: Scale) -> bool:
    least, most = sorted(each.seen_high - each.seen_low for each in (one, other))
    if least == 0:  # of one colour
        return False
    # Such as [-1, 1] and [0, 1], which span nearly the same.
    # Whether the stored values are clearly negative.
    signed = [each.low < -0.05 * (each.high - each.low) for each in (one, other)]
    another_sign = signed[0] != signed[1] and max(one.low, other.low) >= 0
    return most > _ANOTHER_SCALE * least or another_sign
