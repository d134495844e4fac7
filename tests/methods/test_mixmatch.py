import numpy as np
import pytest
import tensorflow as tf

from tests.methods.by_hand import Logits, batch, clock, reported, unmixed
from tests.policies.by_hand import task as policy_task
from tf_metamixup import methods, policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.methods.mixmatch import sharpen
from tf_metamixup.mixing import Mixture

LN3 = np.log(3.0)
# Two labelled rows that answer (3/4, 1/4); one class each. Two unlabelled images, whose two views
# answer (3/4, 1/4) and (1/4, 3/4), and twice (3/4, 1/4).
DATA = batch(
    x=[[LN3, 0.0], [LN3, 0.0]],
    y=[[1.0, 0.0], [0.0, 1.0]],
    views=[[[LN3, 0.0], [0.0, LN3]], [[LN3, 0.0], [LN3, 0.0]]],
)


def test_sharpening_by_hand():
    # (3/4, 1/4) squared and normalized: (9/10, 1/10).
    np.testing.assert_allclose(sharpen(tf.constant([[0.75, 0.25]]), 0.5), [[0.9, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(sharpen(tf.constant([[0.75, 0.25]]), 1.0), [[0.75, 0.25]], rtol=1e-6)
    np.testing.assert_array_equal(sharpen(tf.constant([[1.0, 0.0]]), 0.5), [[1.0, 0.0]])


def test_the_views_of_an_image_share_the_sharpened_mean_of_their_answers():
    made = methods.make("mixmatch").examples(Logits(), DATA, clock(), 1)
    # Rows: two labelled, the first views, the second views; all in one pool.
    guesses = [[0.5, 0.5], [0.9, 0.1]]
    np.testing.assert_allclose(made.y, [[1, 0], [0, 1], *guesses, *guesses], rtol=1e-6)
    np.testing.assert_array_equal(made.guessed, [False, False, True, True, True, True])
    assert set(made.pool.numpy()) == {0}


def test_labelled_rows_have_cross_entropy_and_guessed_ones_squared_error():
    method = methods.make("mixmatch(coefficient=75.0)")
    made = method.examples(Logits(), DATA, clock(), 1)
    value, watched = method.loss(Logits(), unmixed(made), DATA, clock(progress=0.5))
    cross_entropy = (np.log(4 / 3) + np.log(4)) / 2
    # Against (1/2, 1/2): 1/16 twice; against (9/10, 1/10): 0.15^2 twice; mean of the four.
    squared = (2 / 16 + 2 * 0.15**2) / 4
    assert reported(watched)["labelled_loss"] == pytest.approx(cross_entropy)
    assert reported(watched)["consistency_loss"] == pytest.approx(squared)
    assert float(value) == pytest.approx(cross_entropy + 75 * squared)


def test_a_mixed_row_keeps_the_loss_of_its_first_image():
    method = methods.make("mixmatch(coefficient=1.0)")
    made = method.examples(Logits(), DATA, clock(), 1)
    # Row 0 takes a quarter of row 2: x = 3/4 (LN3, 0) + 1/4 (LN3, 0), y = (7/8, 1/8).
    lam = tf.constant([0.75, 1.0, 1.0, 1.0, 1.0, 1.0])
    mixture = Mixture(made, tf.constant([2, 1, 0, 3, 4, 5]), lam)
    _, watched = method.loss(Logits(), mixture, DATA, clock(progress=1.0))
    expected = (7 / 8 * np.log(4 / 3) + 1 / 8 * np.log(4) + np.log(4)) / 2
    assert reported(watched)["labelled_loss"] == pytest.approx(expected)


def test_lambda_u_rises_linearly_over_the_ramp():
    method = methods.make("mixmatch(coefficient=75.0, ramp=0.5)")
    weights = [float(method.weight(clock(progress=p))) for p in (0.0, 0.1, 0.25, 0.5, 0.9)]
    assert weights == pytest.approx([0, 15, 37.5, 75, 75])


def task(fold_lambda=True):
    """One weight w = 0; row i pulls it by lam_i * s_i, s = (1, -1, 1, -1); the meta loss is w."""
    pull = tf.constant([1.0, -1.0, 1.0, -1.0], tf.float64)
    return policy_task(
        accepted=(True,) * 4,
        inner=lambda theta, lam: tf.reduce_sum(lam * pull) * theta[0],
        fold_lambda=fold_lambda,
    )


@pytest.mark.parametrize("text", ["beta(0.75, per_sample=True)", "beta", "fixed(0.2)"])
def test_a_row_stays_mostly_itself(text):
    draws = Draws.at(0, tf.constant(0))
    free = policies.make(text)(task(fold_lambda=False), draws).value
    kept = policies.make(text)(task(), draws).value
    np.testing.assert_allclose(kept, np.maximum(free, 1 - free))


def test_learned_lambdas_start_above_half_and_stop_at_it():
    draws = Draws.at(0, tf.constant(0))
    free = policies.make("meta(step_size=0.0)")(task(fold_lambda=False), draws).value.numpy()
    clipped = policies.make("meta(step_size=50.0)")(task(), draws)
    np.testing.assert_allclose(clipped.start, np.maximum(free, 1 - free))
    # Rows 0 and 2 lower w, so they want all of themselves; rows 1 and 3 want nothing.
    np.testing.assert_allclose(clipped.value[1::2], [0.5, 0.5])
    assert (clipped.value[::2].numpy() > clipped.start[::2].numpy()).all()
    z = np.log(clipped.start / (1 - clipped.start))
    np.testing.assert_allclose(clipped.move[1::2], -z[1::2])


@pytest.mark.parametrize(
    "text", ["mixmatch(augmentations=0)", "mixmatch(temperature=0.0)", "mixmatch(decay=1.5)"]
)
def test_values_out_of_range_are_reported(text):
    with pytest.raises(UserError, match="must"):
        methods.make(text)
