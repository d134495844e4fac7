"""Tiny networks, data and trainers that the tests share."""

import functools

import keras
import numpy as np
import tensorflow as tf

import tf_metamixup as tmm
from tf_metamixup.data import ArrayStream, Audited, scale
from tf_metamixup.models.dropout import RowDropout
from tf_metamixup.report import paper

CLASSES = 3
EXACT = paper.META
SHAPE = (6, 6, 1)


def network(*, norm: str | None = None, dropout: float = 0.0, seed: int = 0) -> keras.Model:
    """Convolution, optional BatchNorm ("plain" or "synchronized") and dropout, dense logits."""
    keras.utils.set_random_seed(seed)
    x = image = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    if norm:
        x = keras.layers.BatchNormalization(momentum=0.9, synchronized=norm == "synchronized")(x)
    x = keras.layers.Activation("tanh", name="stage1")(x)
    if dropout:
        x = RowDropout(dropout)(x)
    x = keras.layers.Identity(name="stage2")(x)
    x = keras.layers.Flatten(name="features")(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, name="logits")(x))


def unnamed() -> keras.Model:
    """A linear network whose layers have no names that anybody knows."""
    image = keras.Input(SHAPE)
    return keras.Model(image, keras.layers.Dense(CLASSES)(keras.layers.Flatten()(image)))


def images(count: int = 96, seed: int = 0):
    """Images whose brightness tells their class, uint8 [count, 6, 6, 1], and labels [count]."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    pixels = generator.integers(0, 120, (count, *SHAPE)) + 60 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels.astype(np.int64)


def streams(batch_size: int = 8, views: int = 1, strong_views: int = 0, seed: int = 0) -> dict:
    """Labelled, unlabelled and meta streams over `images`, with augmentation, and an audit set.

    Where there are strong views, there are twice as many unlabelled rows as labelled ones.
    """
    pixels, labels = images()

    def stream(purpose, indices, **options):
        options = {"batch_size": batch_size, "seed": seed, "purpose": purpose} | options
        return ArrayStream(pixels, labels, indices, **options)

    augmented = {"flip": True, "shift": 1}
    return {
        "labelled": stream("labelled", np.arange(0, 30), **augmented),
        "unlabelled": stream(
            "unlabelled",
            np.arange(30, 75),
            batch_size=batch_size * (2 if strong_views else 1),
            views=views,
            strong=range(views - strong_views, views),
            **augmented,
        ),
        "meta": stream("meta", np.arange(75, 96)),
        "audited": Audited(pixels[75:96], labels[75:96]),
    }


def test_set() -> tf.data.Dataset:
    """Finite batches of uneven size."""
    return tf.data.Dataset.from_tensor_slices(images(25, seed=1)).batch(10)


@functools.cache
def strategy(replicas: int) -> tf.distribute.Strategy:
    """One strategy a process: a second one would use the keys of the first one's collectives."""
    return tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(replicas)])


def trainer(method="supervised", policy="meta", *, replicas: int = 1, model=None, **options):
    """A Trainer on `replicas` logical CPU devices; `model` is a function that builds the model."""
    with strategy(replicas).scope():
        built = (model or network)()
    options = {"learning_rate": 0.1, "row_groups": 2, "preprocess": scale} | options
    return tmm.Trainer(built, method, policy, **options)


def weights(trainer) -> list[np.ndarray]:
    """Everything that training changes."""
    return [np.asarray(variable) for variable in trainer.variables]
