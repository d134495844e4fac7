"""What watches Keras's `fit`: the scales of images, and a loss that stays at that of a guess."""

import warnings
from typing import Any

import keras
import tensorflow as tf

from tf_metamixup.core import divergence
from tf_metamixup.models.network import unlearned
from tf_metamixup.training.first_batch import (
    Scale,
    first_batch,
    pixel_range,
    scale_of,
    warn_of_scales,
)


class ScaleCallback(keras.callbacks.Callback):
    """Compares the scale of the training images with that of others; see `warn_of_scales`.

    The training data is read by Keras alone: to look at a first batch would move a shuffled data
    set on to its next order. So the step notes the range of the images that it is given. Made in
    the scope of the model's strategy.
    """

    def __init__(self):
        super().__init__()
        # Every replica has images of the same scale.
        self._range = unlearned(tf.zeros([4]), "pixel_range")
        self._steps = unlearned(tf.zeros([], tf.int64), "steps_of_fit")
        self._dtype = ""
        self._others: dict[str, Scale] = {}

    @property
    def image_range(self) -> tuple[float, float]:
        """Returns the least and the largest value of the last step's images."""
        low, high, *_ = tf.convert_to_tensor(self._range).numpy().tolist()
        return low, high

    def observe(self, images: tf.Tensor) -> tf.Tensor:
        """Notes the range of a step's images, within its graph; returns how many `fit` had before.

        That is an int64 scalar.
        """
        self._dtype = images.dtype.name
        self._range.assign(tf.cast(pixel_range(images, tf.identity), self._range.dtype))
        before = tf.identity(self._steps)
        self._steps.assign_add(1)
        return before

    def compare(self, **others: Any) -> None:
        """Sets what the next `fit` compares with: arrays or data sets, by a stream's name."""
        self._steps.assign(0)
        images = {name: _some_images(name, data) for name, data in others.items()}
        self._others = {
            name: scale_of(each, tf.identity) for name, each in images.items() if each is not None
        }

    def on_train_batch_end(self, batch, logs=None):
        """Warns once; Keras calls it."""
        if self._others:
            ends = tf.convert_to_tensor(self._range).numpy().tolist()
            warn_of_scales({"labelled": Scale(*ends, self._dtype), **self._others})
            self._others = {}


class StagnationCallback(keras.callbacks.Callback):
    """Warns once per `fit`; epochs of few steps are looked at together."""

    def __init__(self, classes: int, scales: ScaleCallback):
        super().__init__()
        self._classes, self._scales = classes, scales

    def on_train_begin(self, logs=None):
        """Forgets an earlier `fit`; Keras calls it."""
        self._warned = False
        self._losses: list[float] = []  # of each step that of its epoch

    def on_epoch_begin(self, epoch, logs=None):
        """Notes where the epoch begins; Keras calls it."""
        self._first = int(self.model.optimizer.iterations.numpy())

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the mean loss of the epoch; Keras calls it."""
        # Not the numbers of its batches: Keras gives that of the last of several steps together,
        # even where there were fewer.
        steps = int(self.model.optimizer.iterations.numpy()) - self._first
        self._losses += [logs.get("loss", 0)] * steps
        if len(self._losses) < divergence.FEWEST_STEPS:
            return
        problem = divergence.stagnation(self._losses, self._classes)
        self._losses = []
        if problem and not self._warned:
            advice = divergence.advice(*self._scales.image_range)
            warnings.warn(f"{problem}. {advice}", stacklevel=2)
            self._warned = True


def _some_images(name: str, data: Any) -> tf.Tensor | None:
    if isinstance(data, tf.data.Dataset):
        data = first_batch(name, data)
    elif isinstance(data, keras.utils.PyDataset):
        data = data[0]
    images = data[0] if isinstance(data, (tuple, list)) else data
    return tf.convert_to_tensor(images) if hasattr(images, "shape") else None
