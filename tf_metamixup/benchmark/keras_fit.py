"""Keras's own MixUp training, `fit` with `keras.layers.MixUp` in the pipeline, to time beside ours.

Same model, optimizer, images and batch, shuffled and scaled as ours; no flips, no lambdas to look
at, no checks of the loss. Keras compiles its step with XLA or not as it sees fit.
"""

import time
from collections.abc import Callable

import keras
import tensorflow as tf

from tf_metamixup.data.stream import Stream


def timed(
    model: keras.Model, stream: Stream, preprocess: Callable, classes: int, learning_rate: float
) -> Callable[[int], float]:
    """Returns a function (steps) -> seconds per step of `fit`; its first call builds the graph.

    SGD with momentum 0.9 trains the model, which returns logits, on the images and batches of the
    stream.
    """
    images, labels = stream.whole()
    mix_up = keras.layers.MixUp(alpha=1.0)

    def mixed(x, y):
        given = {"images": preprocess(x), "labels": tf.one_hot(y, classes)}
        made = mix_up(given, training=True)
        return made["images"], made["labels"]

    batches = (
        tf.data.Dataset.from_tensor_slices((images, labels))
        .shuffle(len(labels))
        .repeat()
        .batch(stream.batch_size, drop_remainder=True)
        .map(mixed, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    model.compile(
        keras.optimizers.SGD(learning_rate, momentum=0.9),
        keras.losses.CategoricalCrossentropy(from_logits=True),
    )

    def seconds(steps: int) -> float:
        started = time.perf_counter()
        model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
        return (time.perf_counter() - started) / steps

    return seconds
