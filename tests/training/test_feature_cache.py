import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.models.network import Network
from tf_metamixup.training import feature_cache
from tf_metamixup.training.feature_cache import FeatureCache

DRAWS = Draws.at(0, tf.constant(0))


def network():
    """A convolution and BatchNorm below, two dense layers on top."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input(tiny.SHAPE)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(5, activation="tanh", name="dense")(x)
    return Network(keras.Model(image, keras.layers.Dense(tiny.CLASSES, name="logits")(x)))


def cached(made):
    images, labels = tiny.images(12)
    images = tf.cast(images, tf.float32) / 255
    return FeatureCache(made, images, tf.constant(labels), tiny.CLASSES), images, labels


def test_fresh_features_give_the_loss_of_the_whole_meta_set():
    made = network()
    features, images, labels = cached(made)
    features.refresh(DRAWS)
    rows, y = features.rows()
    np.testing.assert_array_equal(y, np.eye(tiny.CLASSES)[labels])
    logits = features.logits(made.theta, rows, DRAWS)
    exact = made.forward(made.theta, DRAWS)(images)
    np.testing.assert_allclose(logits, exact, rtol=1e-5, atol=1e-6)


def test_features_stay_as_they_were_until_they_are_refreshed():
    made = network()
    features, images, _ = cached(made)
    features.refresh(DRAWS)
    before = np.array(features.rows()[0])
    kernel = made.trainable[0]
    kernel.assign_add(tf.random.stateless_normal(kernel.shape, [0, 1]))
    np.testing.assert_array_equal(features.rows()[0], before)
    stale = features.logits(made.theta, features.rows()[0], DRAWS)
    features.refresh(DRAWS)
    fresh = features.logits(made.theta, features.rows()[0], DRAWS)
    assert np.abs(stale - fresh).max() > 0.01
    np.testing.assert_allclose(fresh, made.forward(made.theta, DRAWS)(images), rtol=1e-5, atol=1e-6)


def test_refreshing_leaves_the_network_as_it_was():
    made = network()
    features, *_ = cached(made)
    before = [np.array(v) for v in made.variables]
    features.refresh(DRAWS)
    for old, new in zip(before, made.variables, strict=True):
        np.testing.assert_array_equal(new, old)


def test_more_pixels_than_go_at_once_are_computed_in_passes_of_about_the_same_size(monkeypatch):
    made = network()
    monkeypatch.setattr(feature_cache, "PIXELS_PER_PASS", 5 * 36)
    features, images, _ = cached(made)
    features.refresh(DRAWS)
    rows, _ = features.rows()
    # 12 images, at most 5 at once; each pass is normalized by its own statistics, as a batch is.
    parts = [made.forward(made.theta, DRAWS)(images[at : at + 4]) for at in (0, 4, 8)]
    logits = features.logits(made.theta, rows, DRAWS)
    np.testing.assert_allclose(logits, np.concatenate(parts), rtol=1e-5, atol=1e-6)
    whole = made.forward(made.theta, DRAWS)(images)
    assert np.abs(logits - whole).max() > 0.01


@pytest.mark.parametrize("due", [False, True])
def test_features_are_computed_when_asked_for_and_when_there_are_none(due):
    made = network()
    features, *_ = cached(made)
    features.refresh(DRAWS, should_refresh=tf.constant(False))
    before = np.array(features.rows()[0])
    assert before.any()
    kernel = made.trainable[0]
    kernel.assign(-kernel)
    features.refresh(DRAWS, should_refresh=tf.constant(due))
    assert np.array_equal(features.rows()[0], before) != due


def test_what_is_restored_keeps_its_labels_whatever_order_the_meta_set_is_read_in():
    made = network()
    first, images, labels = cached(made)
    first.refresh(DRAWS)
    images = tf.cast(images, tf.float32)
    again = FeatureCache(made, images[::-1], tf.constant(labels[::-1]), tiny.CLASSES)
    for variable, saved in zip(again.variables, first.variables, strict=True):
        variable.assign(saved)
    for restored, expected in zip(again.rows(), first.rows(), strict=True):
        np.testing.assert_array_equal(restored, expected)


def test_pixels_that_are_no_numbers_and_a_meta_set_too_small_are_reported():
    made = network()
    images, labels = tiny.images(4)
    images = images.astype(np.float32)
    images[2, 0, 0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="a pixel is NaN"):
        FeatureCache(made, tf.constant(images), tf.constant(labels), tiny.CLASSES).refresh(DRAWS)
    with pytest.raises(UserError, match="fewer images than there are replicas"):
        FeatureCache(made, tf.constant(images[:0]), tf.constant(labels[:0]), tiny.CLASSES)
