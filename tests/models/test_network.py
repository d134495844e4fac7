import keras
import numpy as np
import tensorflow as tf

from tests import tiny
from tf_metamixup.core.rng import Draws
from tf_metamixup.models.dropout import RowDropout
from tf_metamixup.models.network import Network


def draws(step=0, shard=0, num_shards=1):
    return Draws.at(0, tf.constant(step), shard, num_shards)


def images(rows=4):
    return tf.random.stateless_normal([rows, *tiny.SHAPE], [0, 1])


def variables(network):
    return [np.asarray(variable).copy() for variable in network.model.variables]


def test_a_forward_pass_changes_nothing_until_its_state_is_committed():
    network = Network(tiny.network(norm="plain", dropout=0.5))
    before = variables(network)
    forward = network.forward(network.theta, draws())
    forward(images())
    for old, new in zip(before, variables(network), strict=True):
        np.testing.assert_array_equal(new, old)
    network.commit(forward.state, tf.constant(0))
    changed = [
        v.path
        for old, v in zip(before, network.model.variables, strict=True)
        if (np.asarray(v) != old).any()
    ]
    assert len(changed) == 2 and all("moving" in path for path in changed)


def test_only_the_first_call_leaves_a_state():
    network = Network(tiny.network(norm="plain"))
    forward = network.forward(network.theta, draws())
    forward(images())
    state = {key: np.asarray(value) for key, value in forward.state.items()}
    assert len(state) == 2
    forward(100 * images())
    assert forward.state.keys() == state.keys()
    for key, kept in state.items():
        np.testing.assert_array_equal(kept, forward.state[key])


def test_logits_are_a_function_of_the_given_weights():
    network = Network(tiny.network())
    doubled = [2 * weight for weight in network.theta]
    at_theta = network.forward(network.theta, draws())(images())
    assert not np.allclose(network.forward(doubled, draws())(images()), at_theta)
    np.testing.assert_array_equal(network.forward(network.theta, draws())(images()), at_theta)


def test_dropout_repeats_within_a_step_and_changes_between_steps():
    network = Network(tiny.network(dropout=0.5))
    first, again, other = (
        network.forward(network.theta, draws(step))(images()) for step in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_every_dropout_layer_has_a_mask_of_its_own():
    image = keras.Input([50])
    layers = [RowDropout(0.5), RowDropout(0.5)]
    x = keras.layers.Dense(50, use_bias=False, kernel_initializer="identity")(image)
    network = Network(keras.Model(image, [layer(x) for layer in layers]))
    first, second = network.forward(network.theta, draws())(tf.ones([1, 50]))
    assert not np.allclose(first, second)


def test_keras_dropout_draws_other_masks_on_other_replicas():
    image = keras.Input([100])
    network = Network(keras.Sequential([image, keras.layers.Dropout(0.5), keras.layers.Dense(1)]))
    ones = tf.ones([1, 100])
    first, second = (network.forward(network.theta, draws(0, p, 2))(ones) for p in (0, 1))
    assert not np.allclose(first, second)


def test_predict_scales_and_uses_moving_statistics():
    network = Network(tiny.network(norm="plain"), preprocess=lambda x: tf.cast(x, "float32") / 2)
    stored = tf.fill([2, *tiny.SHAPE], tf.constant(4, tf.uint8))
    np.testing.assert_allclose(
        network.predict(stored), network.model(tf.fill([2, *tiny.SHAPE], 2.0), training=False)
    )


def test_the_average_forgets_its_first_steps_sooner():
    network = Network(tiny.unnamed(), average=0.15)
    weight = network.model.trainable_variables[0]
    weight.assign(tf.zeros(weight.shape))
    network.start_averages()
    expected = []
    for step, value in enumerate([10.0, 20.0]):
        weight.assign(tf.fill(weight.shape, value))
        network.commit({}, tf.constant(step))
        expected.append(float(network.averages[0][0, 0]))
    # Decays of 1 / 10, then of 0.15 in place of 2 / 11.
    np.testing.assert_allclose(expected, [0.9 * 10, 0.15 * 9 + 0.85 * 20], rtol=1e-6)


def test_averaged_weights_answer_with_averaged_statistics():
    model = tiny.network(norm="plain")
    network = Network(model, average=0.999, predicts_average=True)
    other = tiny.network(norm="plain")
    other.set_weights(model.get_weights())
    statistic = next(v for v in model.non_trainable_variables if v.path.endswith("moving_mean"))
    before = np.asarray(statistic)
    network.commit({id(statistic): tf.convert_to_tensor(statistic) + 1.0}, tf.constant(0))
    np.testing.assert_array_equal(np.asarray(statistic), before + 1)
    place = [id(v) for v in model.weights].index(id(statistic))
    np.testing.assert_allclose(network.evaluated[place], before + 0.9, rtol=1e-6)
    other.weights[place].assign(before + 0.9)
    np.testing.assert_allclose(network.predict(images()), other(images()), rtol=1e-5)


def test_the_average_answers_where_it_is_asked_for():
    def answers(**options):
        network = Network(tiny.unnamed(), average=0.9, **options)
        for variable in network.averages:
            variable.assign(tf.zeros(variable.shape))
        forward = network.forward(network.theta, draws())
        return forward(images()), forward.average()(images()), network.predict(images())

    own, averaged, predicted = answers()
    assert np.abs(own).max() > 0 and np.abs(averaged).max() == 0
    np.testing.assert_allclose(predicted, own, rtol=1e-5)
    assert np.abs(answers(predicts_average=True)[2]).max() == 0


def test_a_layer_gives_what_it_gives_at_the_weights_that_answer():
    model = tiny.network()
    network = Network(model, average=0.9, predicts_average=True)
    for average, weight in zip(network.averages, model.trainable_variables, strict=True):
        average.assign(2 * tf.convert_to_tensor(weight))
    body = keras.Model(model.input, model.get_layer("features").output)
    given = network.infer(images(), body)
    # Of the last layer with weights, the dense one, the average is twice the weight too.
    kernel, bias = (tf.convert_to_tensor(v) for v in network.averages[-2:])
    np.testing.assert_allclose(given @ kernel + bias, network.infer(images()), rtol=1e-5)
    assert np.abs(given - body(images())).max() > 0.1


def test_parts_share_the_models_weights_and_bring_their_own():
    model = tiny.network(norm="plain", dropout=0.5)
    features = keras.Model(model.input, model.get_layer("features").output)
    head = keras.Sequential([keras.Input([144]), keras.layers.Dense(2)])
    network = Network(model, parts={"features": features, "head": head})
    assert len(network.trainable) == len(model.trainable_variables) + 2
    forward = network.forward(network.theta, draws())
    hidden = forward.part("features", images())
    # The same mask as in the whole model, and one state for both passes.
    logits = hidden @ network.theta[-4] + network.theta[-3]
    np.testing.assert_allclose(forward(images()), logits, rtol=1e-4, atol=1e-5)
    assert set(forward.state) == {id(v) for v in model.non_trainable_variables}
    assert forward.part("head", hidden).shape == (4, 2)
    own = {id(v) for v in (*model.variables, *head.variables)}
    assert {id(v) for v in network.variables} == own
