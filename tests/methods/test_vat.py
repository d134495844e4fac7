import numpy as np
import pytest
import tensorflow as tf

from tests.methods.by_hand import Logits, batch, clock, reported, unmixed
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError
from tf_metamixup.methods.vat import adversarial_direction

LN3 = np.log(3.0)


def test_the_direction_by_hand_is_the_one_along_which_two_classes_part(float64):
    # Logits are the input, so KL(p(u) || p(u + r)) is r' F r / 2 with F = diag(p) - p p'. With two
    # classes F is p (1 - p) times [[1, -1], [-1, 1]]: whatever the noise, d is +-(1, -1) / sqrt(2).
    u = tf.constant([[0.3, -0.2], [2.0, 1.0]], tf.float64)
    noise = tf.constant([[1.0, 0.2], [-0.5, 0.9]], tf.float64)
    direction = adversarial_direction(Logits(), u, u, noise, xi=1e-4)
    expected = np.array([[1, -1], [-1, 1]]) / np.sqrt(2)
    np.testing.assert_allclose(direction, expected, atol=1e-6)


def test_the_direction_is_one_power_iteration_on_the_second_derivative(float64):
    # Three inputs, logits W u: the second derivative is W F W'.
    w = np.array([[1.0, 0.0, 2.0], [0.5, -1.0, 0.0], [0.0, 1.0, 1.0]])
    u = np.array([[0.1, 0.4, -0.3]])
    noise = np.array([[0.3, -0.7, 0.2]])
    p = np.exp(u @ w)[0] / np.exp(u @ w).sum()
    hessian = w @ (np.diag(p) - np.outer(p, p)) @ w.T
    expected = hessian @ noise[0]
    expected /= np.linalg.norm(expected)

    def forward(x):
        return x @ w

    direction = adversarial_direction(forward, tf.constant(u), forward(u), tf.constant(noise), 1e-5)
    np.testing.assert_allclose(direction[0], expected, atol=1e-5)


def test_an_image_without_a_gradient_is_not_moved():
    u = tf.zeros([1, 2])
    direction = adversarial_direction(Logits(0.0), u, u, tf.ones([1, 2]), 0.01)
    np.testing.assert_array_equal(direction, [[0, 0]])


# Labelled: p = (3/4, 1/4), second class. Two unlabelled images: (1/2, 1/2); the first is moved to
# (3/4, 1/4), the second is not.
DATA = batch(x=[[LN3, 0.0]], y=[[0.0, 1.0]], views=[[[0.0, 0.0]], [[0.0, 0.0]]])


def loss(text, progress=1.0):
    method = methods.make(text)
    made = method.examples(Logits(), DATA, clock(), 1)
    made = made._replace(aside=tf.constant([[LN3, 0.0], [0.0, 0.0]], tf.float32))
    value, watched = method.loss(Logits(), unmixed(made), DATA, clock(progress=progress))
    return float(value), reported(watched)


def test_loss_by_hand():
    # KL((3/4, 1/4) || (1/2, 1/2)) and 0; the entropies of (3/4, 1/4) and (1/2, 1/2).
    divergence = (0.75 * np.log(1.5) + 0.25 * np.log(0.5)) / 2
    entropy = (0.75 * np.log(4 / 3) + 0.25 * np.log(4) + np.log(2)) / 2
    value, watched = loss("vat(coefficient=0.3, entropy=0.06)")
    assert watched["consistency_loss"] == pytest.approx(divergence, rel=1e-5)
    assert watched["entropy"] == pytest.approx(entropy, rel=1e-5)
    assert value == pytest.approx(np.log(4) + 0.3 * divergence + 0.06 * entropy, rel=1e-5)


def test_the_coefficient_rises_over_two_fifths_of_the_run():
    weights = [loss("vat", progress)[1]["consistency_weight"] for progress in (0.0, 0.4)]
    assert weights == pytest.approx([0.3 * np.exp(-5), 0.3], rel=1e-5)


def test_images_are_moved_by_epsilon_and_unlabelled_rows_are_not_mixed():
    made = methods.make("vat(epsilon=1.5)").examples(Logits(), DATA, clock(), 1)
    lengths = tf.norm(made.aside - DATA.u[:, 0], axis=1)
    np.testing.assert_allclose(lengths, [1.5, 1.5], rtol=1e-4)
    np.testing.assert_array_equal(made.accepted, [True, False, False])


def test_no_gradient_flows_into_the_answer_or_the_direction():
    factor = tf.Variable(1.5)
    with tf.GradientTape() as tape:
        made = methods.make("vat").examples(Logits(factor), DATA, clock(), 1)
        target = tf.reduce_sum(made.y**2) + tf.reduce_sum(made.aside**2)
    assert tape.gradient(target, factor) is None


@pytest.mark.parametrize(
    "text", ["vat(epsilon=0.0)", "vat(xi=-1.0)", "vat(entropy=-0.1)", "vat(ramp=2.0)"]
)
def test_values_out_of_range_are_reported(text):
    with pytest.raises(UserError, match="must"):
        methods.make(text)
