"""A mixture of two Gaussians in one dimension, fitted by expectation-maximization.

As scikit-learn's GaussianMixture has it, which the tests compare with; NumPy alone.
"""

from typing import NamedTuple

import numpy as np

ITERATIONS = 1000
TOLERANCE = 1e-8  # of the mean log-likelihood
# Added to variances, so that a component never collapses onto one value.
SMALLEST_VARIANCE = 1e-6


class Component(NamedTuple):
    """Holds one Gaussian and its share of the values."""

    share: float
    mean: float
    variance: float

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Computes log(share x density) of each value."""
        scaled = (values - self.mean) ** 2 / self.variance
        return np.log(self.share) - 0.5 * (np.log(2 * np.pi * self.variance) + scaled)


def fit(values: np.ndarray) -> tuple[Component, Component]:
    """Fits two Gaussians to `values` [N], and returns that of the lower mean first.

    Where the means are the same, the larger one is first.

    It begins with the values up to their mean in the one and the others in the other.
    """
    first = (values <= values.mean()).astype(np.float64)
    before = -np.inf
    for _ in range(ITERATIONS):
        components = _component(values, first), _component(values, 1 - first)
        logs = np.stack([each.log_density(values) for each in components])
        total = np.logaddexp(*logs)
        first = np.exp(logs[0] - total)
        if abs(total.mean() - before) < TOLERANCE:
            break
        before = total.mean()
    low, high = sorted(components, key=lambda each: each.mean)
    if high.mean - low.mean < SMALLEST_VARIANCE**0.5:
        # Values that are all the same are of one component, whatever rounding makes of it.
        low, high = sorted(components, key=lambda each: -each.share)
    return low, high


def lower(values: np.ndarray, low: Component, high: Component) -> np.ndarray:
    """Computes the probability that each of `values` [N] comes from `low`, [N].

    It never rises with the value: in the tail where the wider component would win again it stays
    at its extreme.
    """
    wider = high.variance - low.variance
    if wider:
        turn = (low.mean * high.variance - high.mean * low.variance) / wider
        values = np.maximum(values, turn) if wider > 0 else np.minimum(values, turn)
    logs = low.log_density(values), high.log_density(values)
    return np.exp(logs[0] - np.logaddexp(*logs))


def _component(values: np.ndarray, belongs: np.ndarray) -> Component:
    """Returns the Gaussian of the values, each of which `belongs` [N] to it so far."""
    belongs = belongs + np.finfo(np.float64).eps  # where nothing does
    count = belongs.sum()
    mean = float(belongs @ values / count)
    variance = float(belongs @ (values - mean) ** 2 / count) + SMALLEST_VARIANCE
    return Component(count / len(values), mean, variance)
