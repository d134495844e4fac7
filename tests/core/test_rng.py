import zlib

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_metamixup.core.rng import Draws, fold, generator, permutation, root


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
    shards = [draw(Draws.at(1, tf.constant(5), shard, 3), 2) for shard in range(3)]
    np.testing.assert_array_equal(whole, tf.concat(shards, 0))
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
        Draws.at(0, tf.constant(3), shard, 2).shared().uniform("lambda", 1) for shard in (0, 1)
    )
    np.testing.assert_array_equal(first, second)


def test_beta_draws_have_the_moments_of_beta():
    draws = Draws.at(0, tf.constant(0)).beta("lambda", 20_000, 0.5)
    assert np.mean(draws) == pytest.approx(0.5, abs=0.01)
    assert np.var(draws) == pytest.approx(1 / 8, abs=0.005)  # 1 / (4 * (2 alpha + 1))


@pytest.mark.parametrize("alpha", [0.3, 0.75, 2.0])
def test_beta_draws_have_the_distribution_of_beta(alpha):
    draws = Draws.at(4, tf.constant(0)).beta("lambda", 20_000, alpha, tf.float64)
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 0.01


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
    assert stats.kstest(free, stats.norm.cdf).pvalue > 0.01
    assert stats.kstest(cut, stats.truncnorm(-2, 2).cdf).pvalue > 0.01


def test_uniform_draws_are_tensorflows_own():
    """So a seed means what it meant when TensorFlow made floats of the bits."""
    draws = Draws.at(0, tf.constant(0))
    theirs = tf.random.stateless_uniform([100], fold(draws.seed, "p"), alg="philox")
    np.testing.assert_array_equal(draws.uniform("p", 100), theirs)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float32, tf.float64])
def test_uniform_draws_of_any_type_lie_below_one(dtype):
    draws = tf.cast(Draws.at(0, tf.constant(0)).uniform("p", 4000, dtype=dtype), tf.float64)
    assert np.min(draws) >= 0 and np.max(draws) < 1
    assert np.mean(draws) == pytest.approx(0.5, abs=0.02)


def test_compiled_by_xla_the_draws_are_the_same():
    def all_kinds(step):
        draws = Draws.at(0, step)
        exact = [draws.uniform("p", 50), draws.integers("p", 50, -2, 3)]
        exact.append(draws.uniform("p", 50, dtype=tf.float64))
        return exact, [draws.beta("p", 50, 0.75, tf.float64), draws.normal("p", 50)]

    # The step is an argument, so that nothing is worked out before it is compiled.
    step = tf.constant(3, tf.int64)
    exact, near = tf.function(all_kinds)(step)
    exact_compiled, near_compiled = tf.function(all_kinds, jit_compile=True)(step)
    for expected, actual in zip(exact, exact_compiled, strict=True):
        np.testing.assert_array_equal(actual, expected)
    for expected, actual, rtol in zip(near, near_compiled, (1e-12, 1e-5), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=rtol)


def test_what_is_drawn_of_data_depends_on_seed_and_purpose_as_it_always_did():
    drawn = generator(-1, "label noise").integers(0, 1000, 3)
    words = [2**64 - 1, zlib.crc32(b"label noise")]
    assert drawn.tolist() == np.random.default_rng(words).integers(0, 1000, 3).tolist()
    assert generator(0, "split").permutation(6).tolist() == [3, 4, 1, 5, 0, 2]
