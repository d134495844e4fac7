"""What a body learned of other classes, carried over in a file of weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tf_metamixup.data import ArrayStream, scale

pytestmark = pytest.mark.slow

LABELS = 5  # of each new class


def preprocess_input(x, data_format=None):
    """Scales to [-1, 1], as MobileNet's does."""
    del data_format
    return x / 127.5 - 1


def SmallBody(include_top=True, weights=None, input_shape=None):  # noqa: N802
    """Builds a body of three convolutions."""
    x = image = keras.Input(input_shape)
    for number, (filters, strides) in enumerate(((16, 1), (32, 2), (64, 1))):
        options = {"padding": "same", "use_bias": False, "name": f"conv{number}"}
        x = keras.layers.Conv2D(filters, 3, strides=strides, **options)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(name=f"bn{number}")(x))
    return keras.Model(image, x)


@pytest.fixture
def classes(real_data):
    """Returns a function from class names to their images, and labels from 0 on."""
    source = tmm.data.load("fashion_mnist", real_data)
    images, labels = source.train.images, source.train.labels

    def of(first, last):
        rows = np.flatnonzero((labels >= first) & (labels < last))
        return images[rows], labels[rows] - first

    return of


def fit(folder, options, images, labels, rows, test, *, steps, seed=0, rate=0.1):
    keras.utils.set_random_seed(seed)
    model = tmm.models.make(f"keras(name='SmallBody'{options})", (28, 28, 1), 5)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    trainer = tmm.Trainer(model, policy="none", learning_rate=schedule, preprocess=scale, seed=seed)
    batch = min(50, len(rows))
    labelled = ArrayStream(images, labels, rows, batch_size=batch, seed=seed, purpose="labelled")
    tested = tf.data.Dataset.from_tensor_slices((images[test], labels[test])).batch(500)
    length = {"steps": steps, "epoch_steps": steps, "run_dir": folder, "verbose": 0}
    return model, trainer.fit(labelled=labelled, test=tested, **length)["test_error"]


def test_a_frozen_body_that_learned_other_classes_serves_new_ones(classes, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.applications, "SmallBody", SmallBody, raising=False)
    images, labels = classes(0, 5)
    learned, error = fit(
        tmp_path / "other",
        "",
        images,
        labels,
        np.arange(10_000),
        np.arange(10_000, 11_000),
        steps=300,
    )
    assert error < 40  # a guess is wrong in 80 of 100
    file = tmp_path / "body.weights.h5"
    learned.get_layer("body").save_weights(file)
    images, labels = classes(5, 10)
    rows = np.concatenate([np.flatnonzero(labels == each)[:LABELS] for each in range(5)])
    test = np.arange(20_000, 22_000)
    few = (images, labels, rows, test)
    _, carried = fit(tmp_path / "few", f", weights='{file}', frozen=True", *few, steps=100)
    _, random = fit(tmp_path / "random", ", frozen=True", *few, steps=100)
    assert carried < random - 15
