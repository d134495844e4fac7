"""What a user's data set must be: a `tf.data.Dataset` of batches that the model takes.

These checks read no data: what the types leave open, such as a shape, is checked as it is read.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.graph_checks import required
from tf_metamixup.methods.batch import check_rows, targets

Shape = Sequence[int | None]
_ARRAYS = (np.ndarray, tf.Tensor, tuple, list, dict)


def labelled_dataset(
    name: str, data: Any, shape: Shape, classes: int, *, finite: bool = False
) -> tf.data.Dataset:
    """Returns `data` as batches (images, labels) whose shapes are known.

    Args:
        name: of the stream.
        data: what the user gave.
        shape: (None, ...), what the model takes.
        classes: their number.
        finite: whether the data is read to its end, so that it must have one.

    Returns:
        `data` itself where its shapes are known.

    Raises:
        UserError: it is no data set, is empty or endless, or gives no such batches.
    """
    _check_dataset(name, data, "(images, labels)", finite)
    spec = data.element_spec
    is_pair = isinstance(spec, tuple) and len(spec) == 2
    if not (is_pair and all(isinstance(each, tf.TensorSpec) for each in spec)):
        hint = '; use .map(lambda e: (e["image"], e["label"]))' if isinstance(spec, dict) else ""
        raise UserError(
            f"the `{name}` data must give pairs (images, labels) of one tensor each, but gives "
            f"{spec}{hint}"
        )
    image_shape, label_shape = check_pair(name, *spec, shape, classes)
    expected = map(tf.TensorShape, (image_shape, label_shape))
    if all(each.shape.is_subtype_of(own) for each, own in zip(spec, expected, strict=True)):
        return data
    return data.map(
        lambda images, labels: (
            ensure_shape(name, "images", images, image_shape),
            ensure_shape(name, "labels", labels, label_shape),
        )
    )


def unlabelled_dataset(data: Any, shape: Shape, classes: int, views: int) -> tf.data.Dataset:
    """Returns `data` as batches (images [n, V, ...], labels int64 [n], -1 where unknown).

    Args:
        data: what the user gave: batches of images, or (images, labels). Images have an axis of
            views; without one they are a single view.
        shape: (None, ...), what the model takes.
        classes: their number.
        views: V, how many the method needs.

    Raises:
        UserError: it is no data set, is empty, or gives no such batches.
    """
    name = "unlabelled"
    _check_dataset(name, data, "images", finite=False)
    spec = data.element_spec
    spec = spec if isinstance(spec, tuple) else (spec,)
    if len(spec) > 2 or not all(isinstance(each, tf.TensorSpec) for each in spec):
        raise UserError(
            f"the `{name}` data must give images or pairs (images, labels) of one tensor each, but "
            f"gives {data.element_spec}"
        )
    rank = spec[0].shape.rank
    has_views = views > 1 if rank is None else rank > len(shape)
    _check_views(name, spec[0].shape, shape, views)
    image_shape = check_images(name, spec[0], shape, views=views if has_views else 0)
    label_shape = None
    if len(spec) == 2:
        label_shape = check_labels(name, spec[1], classes)
        _check_rows(name, spec[0].shape, spec[1].shape)

    def with_views(images, labels=None):
        images = ensure_shape(name, "images", images, image_shape)
        images = images if has_views else images[:, None]
        if labels is None:
            return images, tf.fill(tf.shape(images)[:1], tf.constant(-1, tf.int64))
        labels = ensure_shape(name, "labels", labels, label_shape)
        check_rows(images, labels, name)
        if label_shape != (None, classes):
            # Not as `targets`: -1 is an unknown label.
            return images, tf.cast(tf.reshape(labels, [-1]), tf.int64)
        return images, tf.argmax(targets(labels, classes, tf.float32, name), axis=1)

    return data.map(with_views)


def check_pair(
    name: str, images: tf.TensorSpec, labels: tf.TensorSpec, shape: Shape, classes: int
) -> tuple[Shape, Shape]:
    """Returns the shapes that images and labels must have; see `check_images`, `check_labels`."""
    expected = check_images(name, images, shape), check_labels(name, labels, classes)
    _check_rows(name, images.shape, labels.shape)
    return expected


def check_images(name: str, images: tf.TensorSpec, shape: Shape, *, views: int = 0) -> Shape:
    """Refuses images of a stream that the model does not take.

    Returns:
        The shape that they must have: `shape`, or with an axis of V `views` if that is not 0.
    """
    if not (images.dtype.is_integer or images.dtype.is_floating):
        raise UserError(
            f"the images of the `{name}` data must be numbers, but they are {images.dtype.name}"
        )
    expected = (None, views, *shape[1:]) if views else tuple(shape)
    hint = ""
    if images.shape.rank == len(shape) - 1:
        is_one = images.shape.is_compatible_with(shape[1:])
        hint = ": make batches with .batch(64)" if is_one else ": add an axis with [..., None]"
    if not images.shape.is_compatible_with(expected):
        raise UserError(
            f"the images of the `{name}` data must have the model's input shape {_text(expected)}, "
            f"but they are {list(images.shape)}{hint}"
        )
    return expected


def check_labels(name: str, labels: tf.TensorSpec, classes: int) -> Shape:
    """Refuses labels of a stream that would broadcast into wrong losses.

    Returns:
        The shape that they must have. Where it is open, integers must be [rows].
    """
    by_class, allowed = (None, classes), []
    if labels.dtype.is_integer:
        is_open = labels.shape.rank == 2 and labels.shape[1] is None
        allowed = [] if is_open else [(None,), (None, 1)]
    if labels.dtype.is_integer or labels.dtype.is_floating:
        allowed = [*allowed, by_class]
    for expected in allowed:
        if labels.shape.is_compatible_with(expected):
            return expected
    batched = "" if labels.shape.rank else ": make batches with .batch(64)"
    raise UserError(
        f"the labels of the `{name}` data must be integers [rows], or probabilities or one-hot "
        f"integers {_text(by_class)}, but they are {labels.dtype.name} {labels.shape}{batched}"
    )


def ensure_shape(name: str, what: str, values: tf.Tensor, expected: Shape) -> tf.Tensor:
    """Returns `values` of static shape `expected`; where theirs is open, it is checked when read.

    Raises:
        tf.errors.InvalidArgumentError: they have another one; see `graph_checks.problem_of`.
    """
    if not values.shape.is_subtype_of(tf.TensorShape(expected)):
        given = tf.shape(values)
        sizes = tf.constant([-1 if size is None else size for size in expected])
        same = tf.cond(
            tf.size(given) == len(expected),
            lambda: tf.reduce_all((sizes < 0) | (given == sizes)),
            lambda: tf.constant(False),
        )
        message = f"{what} must be batches of the shape {_text(expected)}, but they are"
        with required(same, name, message, given):
            values = tf.identity(values)
        values.set_shape(expected)
    return values


def _check_dataset(name: str, data: Any, elements: str, finite: bool) -> None:
    if not isinstance(data, tf.data.Dataset):
        raise UserError(
            f"the `{name}` data must be a tf.data.Dataset of batches, but it is of type "
            f"{type(data).__name__}; make one with {_remedy(data, elements)}"
        )
    count = data.cardinality()
    if count == 0:
        raise UserError(f"the `{name}` data is empty: it gives no batch")
    if finite and count == tf.data.INFINITE_CARDINALITY:
        raise UserError(
            f"the `{name}` data must be finite, but it repeats forever: remove repeat()"
        )


def _remedy(data: Any, elements: str) -> str:
    """Says how to make a data set of `data`."""
    if isinstance(data, tf.distribute.DistributedDataset):
        return "nothing: give the data set itself, which Trainer distributes"
    if isinstance(data, keras.utils.PyDataset):
        batches = "lambda: (data[i] for i in range(len(data)))"
    elif hasattr(data, "__next__"):
        batches = "function"  # that makes a new iterator for each pass
    elif hasattr(data, "__iter__") and not isinstance(data, _ARRAYS):
        batches = "lambda: iter(data)"
    else:
        return f"tf.data.Dataset.from_tensor_slices({elements}).batch(64)"
    types = "(tf.float32, tf.int64)" if "labels" in elements else "tf.float32"
    return f"tf.data.Dataset.from_generator({batches}, output_types={types})"


def _check_rows(name: str, images: tf.TensorShape, labels: tf.TensorShape) -> None:
    if not images[:1].is_compatible_with(labels[:1]):
        raise UserError(
            f"the `{name}` data must give as many images as labels, but gives {images[0]} images "
            f"with {labels[0]} labels"
        )


def _check_views(name: str, given: tf.TensorShape, shape: Shape, views: int) -> None:
    if given.rank == len(shape):
        count = 1
    elif given.rank == len(shape) + 1:
        count = given[1]
    else:
        return
    if count not in (None, views):
        raise UserError(
            f"the method takes {views} view{'s' if views > 1 else ''} of each image of the "
            f"`{name}` data, {_text((None, views, *shape[1:]))}, but the data has {count}: "
            f"{list(given)}; stack copies, each augmented independently, with tf.stack(..., axis=1)"
        )


def _text(shape: Shape) -> str:
    """Formats a shape, such as "[rows, 28, 28, 1]"."""
    return f"[{', '.join(['rows', *map(str, shape[1:])])}]"
