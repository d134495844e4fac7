import keras
import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.models import make


def test_the_default_has_32_64_and_128_filters_and_128_dense_units():
    model = make("cnn3", (28, 28, 1), 10)
    kernels = [tuple(v.shape) for v in model.trainable_variables if len(v.shape) > 1]
    assert kernels == [
        (3, 3, 1, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 128),
        (3 * 3 * 128, 128),
        (128, 10),
    ]


@pytest.mark.parametrize("size", [8, 28])
def test_small_images_give_one_row_of_logits_each(size):
    model = make("cnn3(width=2)", (size, size, 1), 10)
    assert model(tf.ones([3, size, size, 1])).shape == (3, 10)


def test_images_too_small_to_halve_three_times_are_refused_by_their_size():
    with pytest.raises(UserError, match=r"8x8.*9x7"):
        make("cnn3", (9, 7, 1), 10)


def test_features_adds_a_linear_last_hidden_layer_after_the_dense_one():
    model = make("cnn3(width=2, features=2)", (8, 8, 1), 10)
    features = model.get_layer("features")
    assert features.output.shape == (None, 2)
    assert features.activation is keras.activations.linear
    assert features.input is model.get_layer("dense").output
    assert model.get_layer("dense").activation is keras.activations.relu


def test_without_features_the_dense_layer_holds_the_features():
    features = make("cnn3(width=2)", (8, 8, 1), 10).get_layer("features")
    assert features.output.shape == (None, 8)
    assert features.activation is keras.activations.relu


def test_batch_norm_stands_between_each_convolution_and_its_relu():
    model = make("cnn3(width=2, batch_norm=True)", (8, 8, 1), 10)
    for block in ("block1", "block2", "block3"):
        batch_norm = model.get_layer(f"{block}_bn")
        assert batch_norm.input is model.get_layer(f"{block}_conv").output
        assert batch_norm.output is model.get_layer(f"{block}_relu").input
        assert not batch_norm.synchronized


def test_synchronized_reaches_the_batch_norms():
    model = make("cnn3(width=2, batch_norm=True, synchronized=True)", (8, 8, 1), 10)
    assert all(model.get_layer(f"{x}_bn").synchronized for x in ("block1", "block2", "block3"))


@pytest.mark.parametrize("spec", ["cnn3(width=0)", "cnn3(features=0)"])
def test_sizes_below_one_are_refused(spec):
    with pytest.raises(UserError, match="at least 1"):
        make(spec, (8, 8, 1), 10)


def test_an_average_over_positions_takes_the_place_of_the_dense_layer():
    model = make("cnn3(width=2, average_pool=True)", (8, 8, 1), 3)
    assert model.get_layer("features").output.shape == (None, 8)
    names = [layer.name for layer in model.layers]
    assert "flatten" not in names
    assert [w.shape for w in model.get_layer("logits").weights] == [(8, 3), (3,)]
