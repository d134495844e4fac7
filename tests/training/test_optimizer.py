import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.training.optimizer import SGD

GRADIENTS = [1.0, -2.0, 0.5, 3.0]


def trained(optimizer, rates, gradients=GRADIENTS):
    """One weight after each step from zero."""
    weight = keras.Variable([0.0])
    optimizer.build([weight])
    weights = []
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.learning_rate = rate
        optimizer.apply([tf.constant([gradient])])
        weights.append(float(weight[0]))
    return weights


def test_after_a_drop_of_the_rate_every_step_is_taken_at_the_new_one():
    # v = 1, 0.5 + 1, 0.75, 0.375: the last two at a tenth of the rate.
    weights = trained(SGD(0.1, momentum=0.5), [0.1, 0.1, 0.01, 0.01], [1.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(weights, [-0.1, -0.25, -0.2575, -0.26125], rtol=1e-6)
    # Keras goes on with 0.075 and 0.0375.
    keras_weights = trained(
        keras.optimizers.SGD(0.1, momentum=0.5), [0.1, 0.1, 0.01, 0.01], [1.0, 1.0, 0.0, 0.0]
    )
    np.testing.assert_allclose(keras_weights, [-0.1, -0.25, -0.325, -0.3625], rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_at_a_constant_rate_it_is_the_sgd_of_keras(momentum, nesterov):
    ours, theirs = (
        trained(kind(0.1, momentum=momentum, nesterov=nesterov), [0.1] * 4)
        for kind in (SGD, keras.optimizers.SGD)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_it_is_serialized_with_its_kind():
    saved = keras.optimizers.serialize(SGD(0.3, momentum=0.7))
    loaded = keras.optimizers.deserialize(saved)
    assert type(loaded) is SGD
    assert float(loaded.learning_rate) == pytest.approx(0.3) and loaded.momentum == 0.7


def test_a_weight_in_double_precision_is_moved_in_it():
    weight = keras.Variable([0.0], dtype="float64")
    optimizer = SGD(0.125, momentum=0.9)
    optimizer.build([weight])
    for _ in range(2):
        optimizer.apply([tf.constant([1 / 3], tf.float64)])
    np.testing.assert_allclose(weight, [-0.125 * (1 + 1.9) / 3], rtol=1e-12)
