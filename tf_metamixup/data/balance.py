"""Repeats images of classes that have few, so that a pass sees the classes more evenly."""

import numpy as np

from tf_metamixup.core import rng

# A class of n images is seen as often as if it had n^power of them.
POWERS = {"sqrt": 0.5, "equal": 0.0}


def repeated(labels: np.ndarray, balance: str, seed: int) -> np.ndarray:
    """Returns positions in `labels`, int64 [M >= N], each at least once.

    The largest class is there once, and each image of another class as often as the others of it,
    up to one.

    Args:
        labels: int [N].
        balance: one of `POWERS`: "equal", or "sqrt", by the square root of their numbers.
        seed: decides which images of a class are repeated once more.
    """
    generator = rng.generator(seed, "balance")
    classes, sizes = np.unique(labels, return_counts=True)
    wanted = sizes * (sizes.max() / sizes) ** (1 - POWERS[balance])
    taken = []
    for c, count in zip(classes, np.rint(wanted).astype(int), strict=True):
        members = generator.permutation(np.flatnonzero(labels == c))
        taken.append(np.resize(members, count))
    return np.sort(np.concatenate(taken))
