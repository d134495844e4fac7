"""Stored images to what a network takes."""

import keras
import tensorflow as tf


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales stored uint8 images 0..255, any shape, to [-1, 1] in Keras's float type.

    >>> scale(tf.constant([0, 255], tf.uint8)).numpy().tolist()
    [-1.0, 1.0]
    """
    return tf.cast(images, keras.config.floatx()) / 127.5 - 1
