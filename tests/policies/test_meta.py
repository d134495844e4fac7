import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.policies.by_hand import DRAWS, ETA, task
from tf_metamixup import policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.policies.meta import EDGE
from tf_metamixup.report import paper

LITERAL = pathlib.Path(__file__).parents[2] / "flags" / "row" / "metamixup_literal.flags"


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


def test_the_literal_row_is_equations_10_and_11_by_finite_differences_in_lambda():
    """One explicit sigmoid, of lambda - 5.0 * the gradient in lambda itself, in float64."""
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(4, 3)), generator.normal(size=4)
    meta_x, meta_y = generator.normal(size=(5, 3)), generator.normal(size=5)
    theta, partner, eta = generator.normal(size=3), [1, 2, 3, 0], 0.3

    def mean_square(weights, x, y):
        return tf.reduce_mean((tf.linalg.matvec(x, weights) - y) ** 2)

    def inner(weights, lam):
        mixed_x = lam[:, None] * x + (1 - lam[:, None]) * x[partner]  # eq. 4
        return mean_square(weights[0], mixed_x, lam * y + (1 - lam) * y[partner])

    def meta_loss(lam):
        # Eq. 7 and 9, the gradient of the mean square written out.
        mixed_x = lam[:, None] * x + (1 - lam[:, None]) * x[partner]
        mixed_y = lam * y + (1 - lam) * y[partner]
        stepped = theta - eta * 2 / 4 * mixed_x.T @ (mixed_x @ theta - mixed_y)
        return np.mean((meta_x @ stepped - meta_y) ** 2)

    (flag,) = re.findall(r"^--policy=(.+)$", LITERAL.read_text(), re.M)
    lambdas = policies.make(flag)(
        task(
            theta=[tf.constant(theta)],
            inner=inner,
            outer=lambda weights: mean_square(weights[0], meta_x, meta_y),
            accepted=(True,) * 4,
            learning_rate=eta,
        ),
        DRAWS,
    )
    lam = DRAWS.beta("lambda", 4, 1.0, tf.float64).numpy()  # of U(0, 1)
    steps = 1e-6 * np.eye(4)
    gradient = [(meta_loss(lam + step) - meta_loss(lam - step)) / 2e-6 for step in steps]
    np.testing.assert_array_equal(lambdas.start, lam)
    assert np.abs(5 * np.array(gradient)).min() > 1e-3  # something is learned in every row
    by_hand = 1 / (1 + np.exp(-(lam - 5.0 * np.array(gradient))))
    np.testing.assert_allclose(lambdas.value, by_hand, rtol=1e-7)


def test_without_a_move_meta_is_mixup_with_a_lambda_a_row():
    lambdas = policies.make("meta(step_size=0.0)")(task(), DRAWS)
    u = DRAWS.beta("lambda", 4, 1.0, tf.float64)
    np.testing.assert_allclose(lambdas.value, np.clip(u, EDGE, 1 - EDGE), rtol=1e-9)


def test_a_negative_step_size_learns_the_wrong_way():
    right = policies.make("meta(step_size=1.0)")(task(), DRAWS).move
    wrong = policies.make("meta(step_size=-1.0)")(task(), DRAWS).move
    np.testing.assert_array_equal(wrong, -right)


def test_a_shuffle_keeps_the_learned_lambdas_but_not_their_rows():
    learned = policies.make("meta")(task(), DRAWS).value.numpy()
    shuffled = policies.make("meta(shuffle=True)")(task(), DRAWS).value.numpy()
    np.testing.assert_array_equal(np.sort(shuffled[:3]), np.sort(learned[:3]))
    assert (shuffled[:3] != learned[:3]).any()
    assert shuffled[3] == learned[3]  # a rejected row has no part in it


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
        "meta(refresh=0)",
        "meta(estimator='nested', refresh=3)",
    ],
)
def test_values_out_of_range_are_reported(text):
    with pytest.raises(UserError, match=r"must|has no effect"):
        policies.make(text)


def test_the_default_is_what_development_chose_and_the_paper_is_written_out():
    assert str(policies.parse("meta(estimator='cached')")) == "meta"
    assert str(policies.parse(paper.META)) == paper.META == "meta(estimator='nested')"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("meta_net(every=10)", "meta_net was removed .*; use meta"),
        ("meta(matched=True)", "matched was removed .*; leave it out"),
        ("meta(reflect=True)", "reflect was removed .*; leave it out"),
        ("meta(estimator='top_block')", "'top_block' was removed .*; use 'nested'"),
        ("meta(estimator='top_block_cached')", "'top_block_cached' was removed .* called 'cached'"),
    ],
)
def test_what_older_versions_had_says_what_to_write(text, message):
    with pytest.raises(UserError, match=message):
        policies.make(text)
