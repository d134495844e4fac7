import numpy as np
import tensorflow as tf

from tf_metamixup.losses import cross_entropy


def test_cross_entropy_is_one_number_an_example():
    probs = tf.constant([[1.0, 0.0], [0.25, 0.75]])
    logits = tf.math.log([[0.5, 0.5], [0.2, 0.8]])
    by_hand = [-np.log(0.5), -0.25 * np.log(0.2) - 0.75 * np.log(0.8)]
    np.testing.assert_allclose(cross_entropy(probs, logits), by_hand, rtol=1e-6)


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
