import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from tf_metamixup.core import gaussian_mixture


def losses(seed=0):
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.exponential(0.3, 600), generator.normal(2.5, 0.8, 400)])


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_scikit_learns(seed):
    values = losses(seed)
    low, high = gaussian_mixture.fit(values)
    reference = GaussianMixture(2, tol=1e-9, max_iter=2000, random_state=0).fit(values[:, None])
    order = np.argsort(reference.means_[:, 0])
    for found, k in zip((low, high), order, strict=True):
        expected = (reference.weights_[k], reference.means_[k, 0], reference.covariances_[k, 0, 0])
        np.testing.assert_allclose(found, expected, rtol=0.02)
    between = values[(values > low.mean) & (values < high.mean)]
    expected = reference.predict_proba(between[:, None])[:, order[0]]
    np.testing.assert_allclose(gaussian_mixture.lower(between, low, high), expected, atol=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_probability_never_rises_with_the_value(sign):
    low, high = gaussian_mixture.fit(sign * losses())
    found = gaussian_mixture.lower(np.linspace(-9, 9, 500), low, high)
    assert (np.diff(found) <= 1e-12).all() and found[0] > 0.9 and found[-1] < 0.1


def test_values_that_are_all_alike_come_from_the_lower_component():
    low, high = gaussian_mixture.fit(np.ones(5))
    np.testing.assert_allclose(gaussian_mixture.lower(np.ones(5), low, high), 1)


@pytest.mark.parametrize("value", [1.7, 0.3, -9.9995e-5])
def test_values_that_are_all_the_same_are_all_of_the_lower_component(value):
    values = np.full(1000, value, np.float64)
    assert (gaussian_mixture.lower(values, *gaussian_mixture.fit(values)) > 0.99).all()
