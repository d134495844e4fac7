import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import hypergradient
from tf_metamixup.core.moments import exact_moments

LAYERS = {
    "batch": keras.layers.BatchNormalization,
    "batch, axis 1": lambda: keras.layers.BatchNormalization(axis=1),
    "batch, synchronized": lambda: keras.layers.BatchNormalization(synchronized=True),
    "group": lambda: keras.layers.GroupNormalization(2),
    "layer": keras.layers.LayerNormalization,
}
X = np.random.default_rng(0).normal(size=(5, 3, 4))


def second_derivative():
    """Of the variance of three values."""
    x = tf.constant([1.0, 2.0, 4.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            variance = tf.nn.moments(x, [0])[1]
        gradient = tape.gradient(variance, x)
    return outer.jacobian(gradient, x).numpy()


# Of mean(x^2) - mean(x)^2: 2/3 on the diagonal less 2/9 everywhere.
EXACT = 2 / 3 * np.eye(3) - 2 / 9


@pytest.mark.parametrize("estimator", ["nested", "vjp"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_after_a_step_is_exact_through_every_normalization(float64, name, estimator):
    model = keras.Sequential([keras.Input(X.shape[1:]), LAYERS[name]()])
    theta, state = (
        [tf.convert_to_tensor(variable) for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    weights = [tf.constant(X[0, 0])]
    z = tf.constant([0.3, -0.2, 0.9, 0.4, -1.1], tf.float64)

    def inner(weights, z):
        given = tf.tanh(X * weights[0] * z[:, None, None])
        normalized, _ = model.stateless_call(theta, state, given, training=True)
        return tf.reduce_mean(tf.tanh(normalized) * X[::-1])

    def outer(weights):
        return tf.reduce_sum(weights[0] ** 3)

    def meta_loss(z):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = inner(weights, z)
        return outer([weights[0] - 0.1 * tape.gradient(loss, weights)[0]])

    gradient = getattr(hypergradient, estimator)(inner, outer, weights, z, 0.1)
    bumps = 1e-5 * tf.eye(5, dtype=tf.float64)
    expected = [(meta_loss(z + bump) - meta_loss(z - bump)) / 2e-5 for bump in bumps]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_values_and_first_derivatives_keep_every_bit(dtype, keepdims):
    x, weight = tf.constant(X, dtype), tf.constant(X[0, 0], dtype)

    def values_and_gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            mean, variance = tf.nn.moments(x, [0, 1], keepdims=keepdims)
            loss = tf.reduce_sum(weight * mean * tf.math.rsqrt(variance))
        return mean, variance, tape.gradient(loss, x)

    plain = values_and_gradient()
    with exact_moments():
        exact = values_and_gradient()
    for expected, actual in zip(plain, exact, strict=True):
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)


def test_within_the_context_alone_the_second_derivative_is_exact():
    plain = second_derivative()
    np.testing.assert_allclose(plain, 2 / 3 * np.eye(3), atol=1e-6)  # as TensorFlow has it
    with pytest.raises(ValueError), exact_moments():
        with exact_moments():
            pass
        np.testing.assert_allclose(second_derivative(), EXACT, atol=1e-6)
        raise ValueError
    np.testing.assert_array_equal(second_derivative(), plain)


def test_a_thread_does_not_take_the_context_from_another():
    found, inside, left = [], threading.Event(), threading.Event()

    def first():
        with exact_moments():
            inside.set()
            left.wait()
            found.append(second_derivative())

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    outside = second_derivative()
    with exact_moments():
        pass
    left.set()
    thread.join()
    np.testing.assert_allclose(found[0], EXACT, atol=1e-6)
    np.testing.assert_allclose(outside, 2 / 3 * np.eye(3), atol=1e-6)
