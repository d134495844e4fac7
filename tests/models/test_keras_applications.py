"""Bodies of keras.applications, by a tiny one that is registered as one of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny_body
from tests.tiny_body import tiny_application  # noqa: F401
from tf_metamixup import models
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.data import scale
from tf_metamixup.models.network import Network
from tf_metamixup.training.mixed_precision import low_precision_copy

SHAPE = (8, 8, 3)


def make(options="", shape=SHAPE, classes=4):
    keras.utils.set_random_seed(3)
    return models.make(f"keras(name='TinyBody'{options})", shape, classes)


def stored(shape=SHAPE, rows=6):
    pixels = np.random.default_rng(0).integers(0, 256, (rows, *shape))
    return tf.constant(pixels.astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_body_gets_stored_images_as_its_own_preprocessing_makes_them(channels):
    images = stored((8, 8, channels))
    model = make(shape=(8, 8, channels))
    raw = np.broadcast_to(np.asarray(images, np.float32), (6, *SHAPE))
    wanted = tiny_body.preprocess_input(raw, "channels_last")
    given = model.get_layer("body_input")(scale(images))
    np.testing.assert_allclose(given, wanted, atol=1e-4)
    features = tf.reduce_mean(model.get_layer("body")(wanted, training=False), [1, 2])
    logits = model.get_layer("logits")(features)
    np.testing.assert_allclose(Network(model, scale).predict(images), logits, rtol=1e-4, atol=1e-4)


def test_a_frozen_body_is_no_part_of_theta_and_stays_in_inference_mode():
    network = Network(make(", frozen=True"), scale)
    assert [v.path for v in network.trainable] == ["logits/kernel", "logits/bias"]
    forward = network.forward(network.theta, Draws.at(0, tf.constant(0)))
    logits = forward(network.preprocess(stored()))
    np.testing.assert_allclose(logits, network.predict(stored()), rtol=1e-5, atol=1e-5)
    assert not forward.state


def test_a_body_that_is_not_frozen_trains_as_any_network():
    network = Network(make(), scale)
    assert len(network.trainable) == 6
    forward = network.forward(network.theta, Draws.at(0, tf.constant(0)))
    assert np.abs(forward(network.preprocess(stored())) - network.predict(stored())).max() > 0.01
    assert forward.state


def test_a_copy_in_half_precision_is_frozen_too():
    model = make(", frozen=True")
    copy = low_precision_copy(model)
    assert len(copy.trainable_variables) == 2
    assert copy.get_layer("body").get_layer("conv").compute_dtype == "bfloat16"
    x = scale(stored())
    weights = [
        [v.value for v in of] for of in (model.trainable_variables, model.non_trainable_variables)
    ]
    logits = copy.stateless_call(*weights, x, training=True)[0]
    np.testing.assert_allclose(logits, model(x, training=False), atol=0.1)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_weights_come_from_a_file(tmp_path, ending):
    trained = make(", frozen=True")
    kernel = trained.get_layer("body").get_layer("conv").kernel
    kernel.assign(tf.ones_like(kernel))
    path = tmp_path / f"body{ending}"
    tiny_body_model = trained.get_layer("body")
    if ending == ".h5":
        from keras.src.legacy.saving import legacy_h5_format  # what Keras's downloads are

        legacy_h5_format.save_model_to_hdf5(tiny_body_model, str(path))
    else:
        tiny_body_model.save_weights(path)
    model = make(f", weights='{path}', frozen=True", classes=2)
    np.testing.assert_array_equal(model.get_layer("body").get_layer("conv").kernel, kernel)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        (
            ", weights='imagenet'",
            SHAPE,
            r"cannot be fetched \(no such host\).*download "
            r"https://weights.example/tiny/tiny_no_top.h5 .*models/tiny_no_top.h5.*weights='PATH'",
        ),
        (", weights='nowhere.h5'", SHAPE, "'nowhere.h5' is not a file"),
        (f", weights='{__file__}'", SHAPE, "holds no weights of TinyBody"),
        ("", (7, 9, 1), r"at least 8x8 pixels, and these have 7x9.*--image_size=8"),
        ("", (8, 8, 2), "1 or 3 channels, and these have 2"),
        (", alpha=0.5", SHAPE, "no option alpha"),
        (", unfreeze_at=0.5", SHAPE, "goes with frozen=True"),
        (", frozen=True, unfreeze_at=1.5", SHAPE, "between 0 and 1"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(options, shape, message):
    with pytest.raises(UserError, match=message) as caught:
        make(options, shape)
    assert "\n" not in str(caught.value)


def test_an_unknown_body_is_reported_the_near_one():
    with pytest.raises(UserError, match="did you mean 'MobileNetV2'"):
        models.make("keras(name='mobilenet_v2')", SHAPE, 4)
