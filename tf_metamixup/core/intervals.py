"""How far an error on few images may lie from the error on all."""

import math

# Two-sided 95 % of the normal distribution.
Z = 1.959964


def wilson(share: float, count: int) -> tuple[float, float]:
    """Computes the 95 % interval of a share of `count` draws, in [0, 1] (Wilson 1927).

    >>> [round(end, 4) for end in wilson(0.1, 100)]
    [0.0552, 0.1744]
    """
    spread = Z**2 / count
    center = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)
