import numpy as np
import pytest
import tensorflow as tf

from tests.policies.by_hand import DRAWS, task
from tf_metamixup import policies
from tf_metamixup.lambda_net import LambdaNet
from tf_metamixup.randomness import Draws

# What is known of four pairs: two classes, two losses, progress.
KNOWN = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 1, 0]])


def learner(text="meta_net", **more):
    """(the policy, a task that knows four pairs and has a fresh network)."""
    policy = policies.make(text)
    known = np.concatenate([KNOWN, np.zeros([4, 3])], axis=1)
    return policy, task(own=policy.build(2), known=tf.constant(known), **more)


def weights(task):
    return [np.array(v) for v in task.own.variables]


def test_an_unlearned_network_draws_as_mixup_does(float64):
    policy, asked = learner()
    lambdas = policy(asked, DRAWS)
    drawn = policies.make("beta(per_sample=True)")(asked, DRAWS).value
    np.testing.assert_allclose(lambdas.value, drawn, rtol=1e-9)
    np.testing.assert_array_equal(lambdas.move, np.zeros(4))


def test_it_learns_only_when_it_is_its_turn(float64):
    policy, asked = learner()
    before = weights(asked)
    policy(asked._replace(learns=False), DRAWS)
    for old, new in zip(before, weights(asked), strict=True):
        np.testing.assert_array_equal(new, old)
    policy(asked, DRAWS)
    assert any((old != new).any() for old, new in zip(before, weights(asked), strict=True))


def test_the_first_step_of_the_mean_by_hand(float64):
    # At the start z = m + exp(s) e with m = s = 0 from the last layer's bias, so d meta / d m is
    # the sum over rows of the scaled gradient, and of s of it times e. Adam's first step is eta.
    policy, asked = learner("meta_net(learning_rate=0.01)")
    z = policy.start(asked, DRAWS).numpy()
    lam = 1 / (1 + np.exp(-z))
    gradient = -np.array([1, 2, -1, 0]) * lam * (1 - lam)
    policy(asked, DRAWS)
    bias = np.array(asked.own.network.layers[-1].bias)
    expected = -0.01 * np.sign([gradient.sum(), (gradient * z).sum()])
    np.testing.assert_allclose(bias, expected, rtol=1e-3)


def test_over_many_steps_a_pair_gets_the_lambda_that_its_kind_wants(float64):
    # Rows 0 and 1 lower the meta loss with a larger lambda, row 2 with a smaller one.
    policy, asked = learner("meta_net(learning_rate=0.03)")
    for _ in range(60):
        lambdas = policy(asked, DRAWS)
    assert (np.sign(lambdas.move)[:3] == [1, 1, -1]).all()
    assert np.abs(lambdas.move[:3]).min() > 0.5


def test_matched_lambdas_are_those_drawn_and_go_where_they_are_wanted(float64):
    policy, asked = learner("meta_net(matched=True, learning_rate=0.03)")
    smallest = []
    for step in range(150):
        lambdas = policy(asked, Draws.at(0, tf.constant(step)))
        np.testing.assert_allclose(np.sort(lambdas.value[:3]), np.sort(lambdas.start[:3]))
        smallest.append(np.argmin(lambdas.value[:3]))
    # Row 2 wants a small one; by chance it has the smallest of three in a third of the steps.
    assert np.mean(np.equal(smallest[100:], 2)) > 0.6


def test_dominant_rows_stay_mostly_themselves(float64):
    policy, asked = learner("meta_net(learning_rate=0.1)", dominant=True)
    for _ in range(20):
        lambdas = policy(asked, DRAWS)
    assert lambdas.value.numpy().min() >= 0.5
    assert np.abs(lambdas.move).max() > 0.1


@pytest.mark.parametrize("hidden", [1, 7])
def test_the_network_has_the_units_that_are_asked_for(hidden):
    assert LambdaNet(3, hidden, 0.1).network.layers[0].kernel.shape == (9, hidden)
