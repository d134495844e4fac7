"""Images that stay in their TFDS files, and how one of them is decoded."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metamixup.core.autotuning import untuned
from tf_metamixup.data import augment, image_files


@dataclasses.dataclass(frozen=True, eq=False)
class Streamed:
    """Stands for images that stay in their TFDS files."""

    builder: Any  # the prepared TFDS builder (anything with its `as_dataset`)
    split: str
    labels: np.ndarray  # int64 [N]
    image_shape: tuple[int, int, int]  # (H, W, C) that images are decoded to
    # Whether they are ImageNet's JPEGs, which are cropped; others are only resized.
    crop: bool = False
    ids: None = None  # none: a million names are worth less than positions

    def __len__(self):
        return len(self.labels)

    def encoded(self) -> tf.data.Dataset:
        """Returns (encoded image, label) of all examples, in the order of `labels`."""
        examples = examples_of(self.builder, self.split)
        return examples.map(lambda example: (example["image"], example["label"]))

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Returns one image without augmentation, uint8 [H, W, C]."""
        if self.crop:
            return augment.center_crop(encoded, self.image_shape[0])
        return decode(encoded, self.builder.info.features["image"].shape, self.image_shape)

    def keep(self, indices: np.ndarray) -> "Kept":
        """Reads the files once and returns the images at `indices`, int [n], in that order."""
        with tf.device("CPU:0"):
            wanted = tf.scatter_nd(indices[:, None], tf.ones(len(indices), tf.bool), [len(self)])
        found = self.encoded().enumerate().filter(lambda i, _: wanted[i]).as_numpy_iterator()
        stored = {int(i): encoded for i, (encoded, _) in found}
        kept = np.array([stored[i] for i in indices.tolist()], object)
        return Kept(**{**vars(self), "labels": self.labels[indices], "kept": kept})


@dataclasses.dataclass(frozen=True, eq=False)
class Kept(Streamed):
    """Holds some images of TFDS files in memory, still encoded."""

    kept: np.ndarray = None  # bytes [N]

    def encoded(self) -> tf.data.Dataset:
        with tf.device("CPU:0"):
            kept, labels = tf.constant(self.kept), tf.constant(self.labels)
        return tf.data.Dataset.range(len(self)).map(lambda i: (kept[i], labels[i]))


def examples_of(builder: Any, split: str) -> tf.data.Dataset:
    """Returns all examples in the order they are stored, images still encoded."""
    import tensorflow_datasets as tfds  # here, since it takes seconds to import

    return untuned(
        builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(try_autocache=False),
        )
    )


def decode(encoded: tf.Tensor, stored: Iterable[int | None], shape: tuple) -> tf.Tensor:
    """Decodes an image, uint8 [H, W, C], resized where `stored` is another shape."""
    image = tf.io.decode_image(encoded, channels=shape[2], expand_animations=False)
    if tuple(stored)[:2] != shape[:2]:
        image = image_files.resize(image, shape[:2])
    return tf.ensure_shape(image, shape)
