"""What holds for every architecture."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import models
from tf_metamixup.core.errors import UserError

# Those of keras.applications have layers of other makers: tests/models/test_keras_applications.py.
OWN = [name for name in models.names() if name != "keras"]


@pytest.fixture(scope="module", params=OWN)
def model(request):
    return models.make(f"{request.param}(synchronized=True)", (32, 32, 3), 7)


def test_every_architecture_is_found():
    assert {
        "cnn3",
        "preact_resnet",
        "preact_resnet18",
        "preact_resnet34",
        "resnet50",
        "wrn",
        "wrn_28_10",
        "wrn_28_2",
    } <= set(models.names())


def test_an_unknown_architecture_is_reported_the_known_ones():
    with pytest.raises(UserError, match="wrn_28_2"):
        models.make("vgg", (8, 8, 1), 10)


def test_the_input_is_named_image_and_of_the_shape_asked_for(model):
    (image,) = model.inputs
    assert image.name == "image"
    assert image.shape == (None, 32, 32, 3)


def test_the_last_layer_gives_logits_that_are_linear_in_the_features(model):
    logits = model.get_layer("logits")
    assert model.layers[-1] is logits
    assert model.output_shape == (None, 7)
    assert logits.activation is keras.activations.linear
    assert logits.input is model.get_layer("features").output
    assert len(logits.input.shape) == 2


def test_the_network_can_be_cut_at_the_end_of_every_stage_but_the_last(model):
    image = tf.random.stateless_normal([2, 32, 32, 3], [0, 0])
    stages = [layer for layer in model.layers if re.fullmatch(r"stage\d+", layer.name)]
    assert [stage.name for stage in stages] == [f"stage{n}" for n in range(1, len(stages) + 1)]
    assert len(stages) >= 2
    for stage in stages:
        below = keras.Model(model.input, stage.output)
        above = keras.Model(stage.output, model.output)
        expected = model(image, training=False)
        actual = above(below(image, training=False), training=False)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_synchronized_reaches_every_batch_norm_and_momentum_is_that_of_short_runs(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.synchronized
            assert layer.momentum == 0.9
            assert layer.epsilon == 1e-5


def test_convolutions_start_he_normal_and_have_no_bias_before_batch_norm(model):
    batch_norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
            assert layer.use_bias == (not batch_norms)
            assert layer.activation is keras.activations.linear


def test_a_second_model_has_the_layer_names_of_the_first():
    first, second = (models.make("wrn(depth=10, width=1)", (8, 8, 1), 3) for _ in range(2))
    assert [x.name for x in first.layers[1:]] == [x.name for x in second.layers[1:]]
    assert [x.path for x in first.variables] == [x.path for x in second.variables]


def test_in_mixed_precision_the_logits_stay_in_float32(global_policy):
    global_policy("mixed_float16")
    model = models.make("cnn3(width=1)", (8, 8, 1), 3)
    assert model.get_layer("features").compute_dtype == "float16"
    assert model.get_layer("logits").compute_dtype == "float32"
    assert model(tf.zeros([1, 8, 8, 1])).dtype == tf.float32


def test_in_double_precision_the_logits_are_double_too(global_policy):
    global_policy("float64")
    model = models.make("cnn3(width=1)", (8, 8, 1), 3)
    assert model(tf.zeros([1, 8, 8, 1], tf.float64)).dtype == tf.float64
