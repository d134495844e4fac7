import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.randomness import Draws, fold, permutation, root


@pytest.mark.parametrize(
    "draw",
    [
        lambda d, n: d.uniform("p", n),
        lambda d, n: d.uniform("p", n, (2, 3)),
        lambda d, n: d.integers("p", n, -2, 3, (2,)),
        lambda d, n: d.beta("p", n, 0.5),
        lambda d, n: d.normal("p", n, (2,)),
    ],
)
def test_pieces_add_up_to_what_one_device_draws(draw):
    whole = draw(Draws.at(1, tf.constant(5)), 6)
    pieces = [draw(Draws.at(1, tf.constant(5), piece, 3), 2) for piece in range(3)]
    np.testing.assert_array_equal(whole, tf.concat(pieces, 0))
    assert len(np.unique(whole)) > 1


def test_seed_purpose_and_step_each_change_the_numbers():
    draws = [
        Draws.at(0, tf.constant(0)).uniform("a", 4),
        Draws.at(1, tf.constant(0)).uniform("a", 4),
        Draws.at(0, tf.constant(1)).uniform("a", 4),
        Draws.at(0, tf.constant(0)).uniform("b", 4),
    ]
    assert len({float(draw[0]) for draw in draws}) == 4


def test_shared_draws_are_equal_in_all_pieces():
    first, second = (
        Draws.at(0, tf.constant(3), piece, 2).shared().uniform("lambda", 1) for piece in (0, 1)
    )
    np.testing.assert_array_equal(first, second)


def test_beta_draws_have_the_moments_of_beta():
    draws = Draws.at(0, tf.constant(0)).beta("lambda", 20_000, 0.5)
    assert np.mean(draws) == pytest.approx(0.5, abs=0.01)
    assert np.var(draws) == pytest.approx(1 / 8, abs=0.005)  # 1 / (4 * (2 alpha + 1))


def test_small_alpha_gives_no_nan():
    assert np.isfinite(Draws.at(0, tf.constant(0)).beta("lambda", 10_000, 0.01)).all()


def test_permutation_has_each_index_once():
    seed = fold(root(0), "order")
    assert sorted(permutation(50, seed).numpy()) == list(range(50))
    assert list(permutation(50, seed)) != list(permutation(50, fold(seed, 1)))


def test_normal_draws_have_the_moments_of_a_normal_and_truncated_ones_its_bounds():
    draws = Draws.at(0, tf.constant(0))
    free, cut = (draws.normal("noise", 20_000, truncated=truncated) for truncated in (False, True))
    assert np.mean(free) == pytest.approx(0, abs=0.03)
    assert np.std(free) == pytest.approx(1, abs=0.03)
    assert np.abs(free).max() > 3 and np.abs(cut).max() <= 2
