import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.models.batch_normalization import BatchNormalization, batch_norm

EPSILON = 1e-3
DRAWS = np.random.default_rng(0)
X, UPSTREAM, U = (DRAWS.normal(size=(4, 3, 5, 2)) for _ in range(3))
GAMMA, BETA, U_GAMMA, U_BETA = DRAWS.normal(size=(4, 2))


def composed(x, gamma, beta):
    """Of the plainest operations, each of which TensorFlow differentiates as often as asked."""
    mean = tf.reduce_mean(x, [0, 1, 2])
    variance = tf.reduce_mean((x - mean) ** 2, [0, 1, 2])
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * gamma + beta, mean, variance


def derivatives(function, dtype):
    """Returns values, gradients, and the gradients of a sum over these."""
    x, gamma, beta, upstream, *weights = (
        tf.constant(each, dtype) for each in (X, GAMMA, BETA, UPSTREAM, U, U_GAMMA, U_BETA)
    )
    with tf.GradientTape() as outer:
        outer.watch([x, gamma, beta, upstream])
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            values = function(x, gamma, beta)
            loss = tf.reduce_sum(values[0] * upstream)
        first = tape.gradient(loss, [x, gamma, beta])
        loss = sum(
            tf.reduce_sum(each * weight) for each, weight in zip(first, weights, strict=True)
        )
    second = outer.gradient(loss, [x, gamma, upstream])
    return [tf.cast(each, tf.float64).numpy() for each in (*values, *first, *second)]


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-6), ("bfloat16", 0.03)])
def test_values_and_both_derivatives_are_those_of_plain_operations(dtype, most):
    def fused(x, gamma, beta):
        wide = [tf.cast(each, tf.float32) for each in (gamma, beta)]
        return batch_norm(x, *wide, EPSILON)

    found = derivatives(fused, dtype)
    for actual, expected in zip(found, derivatives(composed, "float64"), strict=True):
        assert np.abs(actual - expected).max() <= most * np.abs(expected).max()


def layers(shape=X.shape[1:], dtype="float32", **options):
    """Returns this layer and Keras's, with the same weights."""
    options |= {"momentum": 0.9, "epsilon": EPSILON, "dtype": dtype}
    both = [kind(**options) for kind in (BatchNormalization, keras.layers.BatchNormalization)]
    for layer in both:
        layer.build((None, *shape))
        drawn = np.random.default_rng(1)
        layer.set_weights([drawn.uniform(1, 2, variable.shape) for variable in layer.weights])
    return both


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_it_does_what_keras_does(dtype, training, trainable):
    ours, kerass = layers(dtype=dtype, trainable=trainable)
    found, expected = (layer(X, training=training) for layer in (ours, kerass))
    assert found.dtype == expected.dtype
    most = 0.02 if dtype == "mixed_bfloat16" else 1e-5
    np.testing.assert_allclose(
        *(tf.cast(each, "float64") for each in (found, expected)), most, most
    )
    for mine, theirs in zip(ours.get_weights(), kerass.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, most, most)


@pytest.mark.parametrize("axes", [1, 2, 4])
def test_what_is_no_image_is_normalized_too(axes):
    shape = (*range(2, axes + 1), 2)
    rows = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    found, expected = (layer(rows, training=True) for layer in layers(shape))
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


@pytest.mark.parametrize("options", [{"axis": 1}, {"scale": False}, {"center": False}])
def test_options_of_keras_are_kept(options):
    found, expected = (layer(X, training=True) for layer in layers(**options))
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


def test_of_one_value_the_variance_is_zero():
    ours, kerass = layers()
    for layer in (ours, kerass):
        layer(X[:1, :1, :1], training=True)
    for mine, theirs in zip(ours.get_weights(), kerass.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, 1e-5)


def test_a_saved_model_of_keras_is_read(tmp_path):
    model = keras.Sequential([keras.Input(X.shape[1:]), BatchNormalization()])
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(read(X), model(X))


def test_images_are_normalized_by_one_operation():
    layer, _ = layers()
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(
        tf.TensorSpec(X.shape, tf.float32)
    )
    assert "FusedBatchNormV3" in {each.type for each in graph.graph.get_operations()}
