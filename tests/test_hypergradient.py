import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import hypergradient
from tf_metamixup.core.errors import UserError


@pytest.fixture(params=["nested", "vjp"])
def estimate(request):
    return getattr(hypergradient, request.param)


def test_closed_form_on_a_quadratic(estimate):
    # inner = z w^2 / 2, outer = (w' - 1)^2 / 2: w' = w (1 - eta z), d outer / dz = -(w' - 1) eta w.
    w, z, eta = 2.0, 0.3, 0.1
    gradient = estimate(
        lambda weights, z: z * weights[0] ** 2 / 2,
        lambda weights: (weights[0] - 1) ** 2 / 2,
        [tf.constant(w, tf.float64)],
        tf.constant(z, tf.float64),
        eta,
    )
    stepped = w * (1 - eta * z)
    np.testing.assert_allclose(gradient, -(stepped - 1) * eta * w)


def test_variables_are_read_and_not_written(estimate):
    variable = tf.Variable(2.0, dtype=tf.float64)
    estimate(
        lambda weights, z: tf.reduce_sum(z) * weights[0] ** 2,
        lambda weights: weights[0] ** 2,
        [variable],
        tf.constant([0.3, 0.1], tf.float64),
        0.1,
    )
    assert variable.numpy() == 2.0


@pytest.mark.parametrize("kind", [float, np.float32, tf.Variable, keras.Variable])
def test_z_may_be_a_number_of_any_kind_but_an_integer(estimate, kind):
    arguments = (lambda weights, z: weights[0] * z, lambda weights: weights[0] ** 2)
    np.testing.assert_allclose(estimate(*arguments, [tf.constant(1.0)], kind(2.0), 0.25), -0.25)
    with pytest.raises(UserError, match="z of type int32 must be floats"):
        estimate(*arguments, [tf.constant(1.0)], 2, 0.25)


def test_weights_are_a_list_of_floats(estimate):
    arguments = (lambda weights, z: weights[0] * z, lambda weights: weights[0] ** 2)
    with pytest.raises(UserError, match="weights of type int32 must be floats"):
        estimate(*arguments, [tf.constant(1)], 2.0, 0.25)
    with pytest.raises(UserError, match=r"weights of type .* must be a list"):
        estimate(*arguments, tf.constant([1.0]), 2.0, 0.25)


def test_weights_that_only_one_of_the_losses_reads_are_allowed(estimate):
    gradient = estimate(
        lambda weights, z: tf.reduce_sum(z * weights[0] ** 2),
        lambda weights: weights[0] ** 2 + weights[1],
        [tf.constant(1.0), tf.constant(1.0)],
        tf.constant([0.5]),
        0.1,
    )
    assert gradient.shape == (1,) and float(gradient[0]) != 0


def test_a_z_that_the_step_does_not_depend_on_has_zero_gradient(estimate):
    gradient = estimate(
        lambda weights, z: weights[0] ** 2,
        lambda weights: weights[0] ** 2,
        [tf.constant(1.0)],
        tf.constant([0.5, 0.5]),
        0.1,
    )
    np.testing.assert_array_equal(gradient, [0, 0])
