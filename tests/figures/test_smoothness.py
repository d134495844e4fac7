import numpy as np
import pytest

from tf_metamixup.figures import smoothness


def test_a_parabola_meets_its_bound_everywhere():
    # f(x) = 3/2 |x|^2 has the gradient 3 x, so kappa = 3 and P2 is an equality.
    x = np.random.default_rng(1).normal(size=(20, 2, 2, 1))
    bounding, gap = smoothness.gaps(lambda x: 1.5 * (x**2).sum(axis=(1, 2)), x[..., :1])
    assert len(gap) == smoothness.PAIRS
    one, two = (smoothness.smallest_kappa(bounding, gap, share) for share in (1.0, 0.5))
    assert one == pytest.approx(3) and two == pytest.approx(3)


def test_a_line_has_no_gap():
    x = np.random.default_rng(1).normal(size=(20, 3))
    _, gap = smoothness.gaps(lambda x: x @ np.ones((3, 2)), x)
    assert gap.max() < 1e-12


def test_the_gap_is_the_largest_over_the_outputs():
    x = np.random.default_rng(1).normal(size=(20, 1))
    bounding, gap = smoothness.gaps(lambda x: np.hstack([x**2, -3 * x**2]), x)
    assert smoothness.smallest_kappa(bounding, gap) == pytest.approx(6)


def test_kappa_is_the_smallest_that_bounds_by_hand():
    bounding, gap = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 0.5, 0.2, 0.4])
    # Twice the gap over the bound: 1, 0.2, 0.2.
    assert smoothness.smallest_kappa(bounding, gap) == 1
    assert smoothness.smallest_kappa(bounding, gap, 2 / 3) == pytest.approx(0.2)
