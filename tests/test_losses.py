import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.losses import cross_entropy, entropy, kl_divergence, squared_error


def test_cross_entropy_is_one_number_an_example():
    probs = tf.constant([[1.0, 0.0], [0.25, 0.75]])
    logits = tf.math.log([[0.5, 0.5], [0.2, 0.8]])
    by_hand = [-np.log(0.5), -0.25 * np.log(0.2) - 0.75 * np.log(0.8)]
    np.testing.assert_allclose(cross_entropy(probs, logits), by_hand, rtol=1e-6)


def test_targets_that_would_be_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(1,\) and \(3,\)"):
        cross_entropy(tf.ones([2, 1]), tf.zeros([2, 3]))


def test_targets_may_be_an_array_or_one_distribution_for_all():
    logits = tf.constant([[0.0, 1.0], [2.0, 0.0]])
    each = cross_entropy(np.eye(2), logits).numpy()
    np.testing.assert_allclose(each, [np.log(1 + np.e), np.log(1 + np.exp(2))], rtol=1e-6)
    half = cross_entropy([0.5, 0.5], logits).numpy()
    np.testing.assert_allclose(half, each - [0.5, -1.0 + 2.0], rtol=1e-5)


def test_second_derivative_sees_the_labels():
    # d/dp of (d loss / d logits) is -identity here; TensorFlow's fused operation answers zero.
    probs = tf.constant([[0.3, 0.7]], tf.float64)
    logits = tf.constant([[0.1, -0.4]], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(probs)
        with tf.GradientTape() as inner:
            inner.watch(logits)
            loss = cross_entropy(probs, logits)
        gradient = inner.gradient(loss, logits)[0, 0]
    softmax = tf.nn.softmax(logits)[0, 0]
    # The loss is linear in p, so its gradient is softmax * sum(p) - p.
    np.testing.assert_allclose(outer.gradient(gradient, probs), [[softmax - 1, softmax]])


P, Q = [0.5, 0.5], [0.25, 0.75]


def test_squared_error_is_a_mean_over_classes():
    loss = squared_error(tf.constant([P, Q]), tf.math.log([Q, Q]))
    np.testing.assert_allclose(loss, [1 / 16, 0], atol=1e-7)


def test_divergence_is_of_the_first_from_the_second():
    loss = kl_divergence(tf.math.log([P, Q, P]), tf.math.log([Q, P, P]))
    forward = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    backward = 0.25 * np.log(1 / 2) + 0.75 * np.log(3 / 2)
    np.testing.assert_allclose(loss, [forward, backward, 0], atol=1e-6)


def test_entropy_in_nats():
    by_hand = [np.log(2), 0.25 * np.log(4) + 0.75 * np.log(4 / 3)]
    np.testing.assert_allclose(entropy(tf.math.log([P, Q])), by_hand, rtol=1e-6)
