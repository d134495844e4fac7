"""What the first batch of a stream tells: whether there is one, its values, its scale.

Later batches are checked within the graph; see `methods.batch`.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError, reason
from tf_metamixup.methods.batch import check_rows, finite, problems_told, targets

# Times the span of the training images. Standardised ones span about 5, those in [0, 1] 1.
_ANOTHER_SCALE = 8


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Raises UserError with the stream's name for what goes wrong where its data is read."""
    try:
        with problems_told():
            yield
    except tf.errors.OpError as error:
        raise UserError(f"the `{name}` data cannot be read: {reason(error)}") from error


def first_batch(name: str, dataset: tf.data.Dataset) -> Any:
    """Returns the first element of `dataset`, by an iterator of its own.

    Raises:
        UserError: there is none, it has no rows, or it cannot be read.
    """
    with reading(name):
        first = next(iter(dataset), None)
    if first is None or not len(tf.nest.flatten(first)[0]):
        raise UserError(f"the `{name}` data is empty: it gives no batch")
    return first


def check_values(name: str, images: tf.Tensor, labels: tf.Tensor, classes: int) -> None:
    """Refuses pixels that are not numbers and labels that are not classes or probabilities.

    Raises:
        UserError: as said, with the stream's name.
    """

    # A graph gives the same messages as those of later batches.
    @tf.function(autograph=False)
    def checked():
        check_rows(images, labels, name)
        if images.dtype.is_floating:
            finite(images, "a pixel", name)
        targets(labels, classes, tf.float32, name)

    with problems_told():
        checked()


def warn_of_scales(
    first: Mapping[str, tf.Tensor], preprocess: Callable[[tf.Tensor], tf.Tensor]
) -> None:
    """Warns where the images of another stream have another scale than the labelled ones.

    Args:
        first: some images of each stream by name, as they are stored.
        preprocess: stored images -> what the model takes.
    """
    trained = first["labelled"]
    for name, images in first.items():
        if name != "labelled" and _scales_differ(trained, images, preprocess):
            warnings.warn(
                f"the `{name}` images range {_range_text(images)} and the `labelled` ones "
                f"{_range_text(trained)}: to the network these are different images; scale all "
                "streams alike",
                stacklevel=2,
            )


def _scales_differ(one: tf.Tensor, other: tf.Tensor, preprocess) -> bool:
    spans = [np.ptp(_range(preprocess(images))) for images in (one, other)]
    if min(spans) == 0:  # of one colour
        return False
    if max(spans) > _ANOTHER_SCALE * min(spans):
        return True
    # Such as [-1, 1] and [0, 1].
    signs = {low < -0.05 * (high - low) for low, high in (_range(one), _range(other))}
    zero = any(low >= 0 for low, _ in (_range(one), _range(other)))
    return len(signs) == 2 and zero


def _range(images: tf.Tensor) -> tuple[float, float]:
    array = np.asarray(tf.cast(images, tf.float64))
    return float(array.min()), float(array.max())


def _range_text(images: tf.Tensor) -> str:
    low, high = _range(images)
    return f"from {low:.4g} to {high:.4g} ({images.dtype.name})"
