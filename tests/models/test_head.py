import keras
import numpy as np
import pytest

from tests import tiny
from tf_metamixup import models
from tf_metamixup.core.errors import UserError
from tf_metamixup.models import head
from tf_metamixup.models.network import Network

SMALL = [
    "cnn3(width=2, batch_norm=True)",
    "cnn3(width=2, features=2)",
    "wrn(depth=10, width=1)",
    "preact_resnet(depth=18)",
    "resnet50",
]


@pytest.mark.parametrize("architecture", SMALL)
def test_body_and_head_make_the_model(architecture):
    model = models.make(architecture, (16, 16, 1), 3)
    below, above = head.split(model)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(above(below(images)), model(images), rtol=1e-5, atol=1e-6)
    network = Network(model)
    stepped = {id(network.trainable[place]) for place in network.head}
    assert {id(v) for v in above.trainable_variables} == stepped
    assert below.trainable_variables


@pytest.mark.parametrize("architecture", SMALL)
def test_the_head_is_what_reads_vectors_of_the_last_two_layers_with_weights(architecture):
    model = models.make(architecture, (16, 16, 1), 3)
    dense = {"features"} if "cnn3" in architecture else set()
    assert {layer.name for layer in head.layers(model)} == {"logits"} | dense


def test_a_model_that_ends_in_convolutions_has_the_last_as_its_head():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3)(keras.layers.Conv2D(2, 3)(image))
    logits = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1, name="last")(x))
    assert [layer.name for layer in head.layers(keras.Model(image, logits))] == ["last"]


def test_the_last_two_of_many_dense_layers_are_the_head():
    layers = [keras.Input([4]), *(keras.layers.Dense(units) for units in (5, 6, 7))]
    below, above = head.split(keras.Sequential(layers))
    assert [len(part.trainable_variables) for part in (below, above)] == [2, 4]
    assert below.output_shape == (None, 5)


def nested(trainable=True):
    body = keras.Sequential([keras.Input([4]), *(keras.layers.Dense(n) for n in (5, 6))])
    body.trainable = trainable
    return keras.Sequential([keras.Input([4]), body, keras.layers.Dense(3)])


def test_a_model_within_the_model_counts_by_its_layers():
    assert [layer.units for layer in head.layers(nested())] == [6, 3]
    with pytest.raises(UserError, match="begins within a model in it"):
        head.split(nested())


def test_a_model_within_the_model_that_is_not_trained_lies_below_the_head():
    below, above = head.split(nested(trainable=False))
    assert below.output_shape == (None, 6) and len(above.trainable_variables) == 2


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def branching():
    image = keras.Input([4])
    left, right = keras.layers.Dense(5)(image), keras.layers.Dense(5)(image)
    x = keras.layers.Dense(4)(left + right)
    return keras.Model(image, keras.layers.Dense(3)(x))


def two_borders():
    image = keras.Input([4])
    left, right = (keras.layers.Dense(5, activation="relu")(image) for _ in range(2))
    mixed = keras.layers.Dense(5, name="dense")(left)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(mixed + right))


def shared():
    image, layer = keras.Input([4]), keras.layers.Dense(4)
    return keras.Model(image, keras.layers.Dense(3)(layer(layer(image))))


@pytest.mark.parametrize("made", [Subclassed, two_borders, shared])
def test_a_model_that_cannot_be_split_is_refused(made):
    model = made()
    model(np.zeros((1, 4), np.float32))
    with pytest.raises(UserError, match=r"estimator='nested'\) takes any model"):
        head.split(model)


def test_one_tensor_may_be_made_of_two_branches():
    below, above = head.split(branching())
    assert len(below.trainable_variables) == 4 and len(above.trainable_variables) == 4


def test_a_linear_model_is_all_head():
    below, above = head.split(tiny.unnamed())
    assert not below.trainable_variables and len(above.trainable_variables) == 2
