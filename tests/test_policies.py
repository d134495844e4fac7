import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import policies
from tf_metamixup.errors import UserError
from tf_metamixup.policies import EDGE, Task
from tf_metamixup.randomness import Draws

DRAWS = Draws.at(0, tf.constant(0))
ETA = 0.1


def task(accepted=(True, True, True, False), learning_rate=ETA):
    """One weight w = 0; row i pulls it by lam_i * s_i, s = (1, 2, -1, 5); the meta loss is w."""
    pull = tf.constant([1.0, 2.0, -1.0, 5.0], tf.float64) * tf.cast(accepted, tf.float64)
    return Task(
        theta=[tf.constant(0.0, tf.float64)],
        inner=lambda theta, lam: tf.reduce_sum(lam * pull) * theta[0] / 4,
        outer=lambda theta: theta[0],
        learning_rate=tf.constant(learning_rate, tf.float64),
        accepted=tf.constant(accepted),
        batch_size=tf.constant(4),
    )


def test_none_is_ones():
    np.testing.assert_array_equal(policies.make("none")(task(), DRAWS).value, np.ones(4))


def test_fixed_is_its_value_in_every_row():
    np.testing.assert_allclose(policies.make("fixed(0.3)")(task(), DRAWS).value, [0.3] * 4)


def test_beta_is_one_lambda_a_batch_unless_asked():
    assert len(set(policies.make("beta")(task(), DRAWS).value.numpy())) == 1
    assert len(set(policies.make("beta(per_sample=True)")(task(), DRAWS).value.numpy())) == 4


def test_beta_of_a_batch_is_the_same_on_every_replica():
    first, second = (
        policies.make("beta(0.4)")(task(), Draws.at(0, tf.constant(1), piece, 2)).value[0]
        for piece in (0, 1)
    )
    assert first == second


def test_policies_that_do_not_learn_move_nothing():
    for text in ("none", "fixed", "beta", "beta(per_sample=True)"):
        lambdas = policies.make(text)(task(), DRAWS)
        np.testing.assert_array_equal(lambdas.move, np.zeros(4))
        np.testing.assert_array_equal(lambdas.start, lambdas.value)


def test_meta_step_by_hand():
    # w' = -eta * sum(lam_i s_i) / 4, so d meta / d z_i = -eta s_i lam_i (1 - lam_i) / 4.
    meta = policies.make("meta(step_size=5.0, gradient_scale='mean')")
    lambdas = meta(task(), DRAWS)
    lam = lambdas.start.numpy()
    gradient = -ETA * np.array([1, 2, -1, 0]) * lam * (1 - lam) / 4
    np.testing.assert_allclose(lambdas.move, -5 * gradient, rtol=1e-12)
    z = np.log(lam / (1 - lam))
    np.testing.assert_allclose(lambdas.value, 1 / (1 + np.exp(-(z - 5 * gradient))), rtol=1e-12)
    # More of rows 0 and 1 lowers w and with it the meta loss; more of row 2 raises it.
    assert (np.sign(lambdas.value - lambdas.start) == [1, 1, -1, 0]).all()


def test_sum_is_the_batch_size_times_mean():
    mean = policies.make("meta(gradient_scale='mean')")(task(), DRAWS).move
    total = policies.make("meta(gradient_scale='sum')")(task(), DRAWS).move
    np.testing.assert_allclose(total, 4 * mean)


@pytest.mark.parametrize("learning_rate", [0.1, 1e-12])
def test_rms_moves_accepted_rows_by_the_step_size(learning_rate):
    lambdas = policies.make("meta(step_size=2.0)")(task(learning_rate=learning_rate), DRAWS)
    accepted = lambdas.move.numpy()[:3]
    assert np.sqrt(np.mean(accepted**2)) == pytest.approx(2)
    assert lambdas.move.numpy()[3] == 0


@pytest.mark.parametrize("changed", [{"learning_rate": 0.0}, {"accepted": (False,) * 4}])
def test_a_zero_gradient_gives_a_zero_move(changed):
    np.testing.assert_array_equal(policies.make("meta")(task(**changed), DRAWS).move, np.zeros(4))


def test_raw_parametrisation_squashes_after_the_step_only():
    lambdas = policies.make("meta(parametrisation='raw', step_size=0.0)")(task(), DRAWS)
    u = DRAWS.beta("lambda", 4, 1.0, tf.float64)
    np.testing.assert_array_equal(lambdas.start, u)
    np.testing.assert_allclose(lambdas.value, tf.sigmoid(u))


def test_without_a_move_meta_is_mixup_with_a_lambda_a_row():
    lambdas = policies.make("meta(step_size=0.0)")(task(), DRAWS)
    u = DRAWS.beta("lambda", 4, 1.0, tf.float64)
    np.testing.assert_allclose(lambdas.value, np.clip(u, EDGE, 1 - EDGE), rtol=1e-9)


def test_a_negative_step_size_learns_the_wrong_way():
    right = policies.make("meta(step_size=1.0)")(task(), DRAWS).move
    wrong = policies.make("meta(step_size=-1.0)")(task(), DRAWS).move
    np.testing.assert_array_equal(wrong, -right)


@pytest.mark.parametrize(
    "text",
    [
        "fixed(1.5)",
        "beta(0)",
        "beta(alpha=-1.0)",
        "meta(gradient_scale='norm')",
        "meta(parametrisation='exp')",
        "meta(alpha=0.0)",
        "meta(estimator='exact')",
    ],
)
def test_values_out_of_range_are_told(text):
    with pytest.raises(UserError, match="must"):
        policies.make(text)
