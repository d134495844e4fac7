import keras
import numpy as np
import pytest

from tests import tiny
from tf_metamixup import models, top
from tf_metamixup.errors import UserError
from tf_metamixup.network import Network

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
    body, head = top.cut(model)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(head(body(images)), model(images), rtol=1e-5, atol=1e-6)
    network = Network(model)
    stepped = {id(network.trainable[place]) for place in network.head}
    assert {id(v) for v in head.trainable_variables} == stepped
    assert body.trainable_variables


@pytest.mark.parametrize("architecture", SMALL)
def test_the_head_is_the_part_of_the_top_that_reads_vectors(architecture):
    model = models.make(architecture, (16, 16, 1), 3)
    named = {layer.name for layer in top.head(model)}
    dense = {"logits"} | ({"features"} if "cnn3" in architecture else set())
    assert named == dense | ({"top_dense"} if "features=2" in architecture else set())
    assert named < {layer.name for layer in top.layers(model)}


def test_a_model_whose_top_reads_no_vectors_has_all_of_it_as_head():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3)(keras.layers.Conv2D(2, 3)(image))
    logits = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1)(x))
    model = keras.Model(image, logits)
    assert top.head(model) == top.layers(model) and len(top.head(model)) == 2


def test_of_a_model_without_names_the_last_two_layers_with_weights_are_the_top():
    layers = [keras.Input([4]), *(keras.layers.Dense(units) for units in (5, 6, 7))]
    body, head = top.cut(keras.Sequential(layers))
    assert [len(part.trainable_variables) for part in (body, head)] == [2, 4]
    assert body.output_shape == (None, 5)


def nested(trainable=True):
    body = keras.Sequential([keras.Input([4]), *(keras.layers.Dense(n) for n in (5, 6))])
    body.trainable = trainable
    return keras.Sequential([keras.Input([4]), body, keras.layers.Dense(3)])


def test_a_model_within_the_model_counts_by_its_layers():
    assert [layer.units for layer in top.layers(nested())] == [6, 3]
    with pytest.raises(UserError, match="begins within a model in it"):
        top.cut(nested())


def test_a_model_within_the_model_that_is_not_trained_lies_below_the_top():
    body, head = top.cut(nested(trainable=False))
    assert body.output_shape == (None, 6) and len(head.trainable_variables) == 2


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def branching():
    image = keras.Input([4])
    left, right = keras.layers.Dense(5)(image), keras.layers.Dense(5)(image)
    return keras.Model(image, keras.layers.Dense(3, name="top_dense")(left + right))


def two_borders():
    image = keras.Input([4])
    left, right = (keras.layers.Dense(5, activation="relu")(image) for _ in range(2))
    mixed = keras.layers.Dense(5, name="top_dense")(left)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(mixed + right))


def shared():
    image, layer = keras.Input([4]), keras.layers.Dense(4)
    return keras.Model(image, keras.layers.Dense(3)(layer(layer(image))))


@pytest.mark.parametrize("made", [Subclassed, two_borders, shared])
def test_a_model_that_cannot_be_cut_is_refused(made):
    model = made()
    model(np.zeros((1, 4), np.float32))
    with pytest.raises(UserError, match="estimator='top_block' takes any model"):
        top.cut(model)


def test_one_tensor_may_be_made_of_two_branches():
    body, head = top.cut(branching())
    assert len(body.trainable_variables) == 4 and len(head.trainable_variables) == 2


def test_a_linear_model_is_all_head():
    body, head = top.cut(tiny.unnamed())
    assert not body.trainable_variables and len(head.trainable_variables) == 2
