"""A long-tailed training set for benchmarks: classes that have fewer and fewer images."""

import numpy as np

from tf_metamixup.core import rng


def long_tailed(
    labels: np.ndarray, indices: np.ndarray, classes: int, factor: float, seed: int
) -> np.ndarray:
    """Selects the `indices` that stay, sorted int64 [M].

    Of C classes the k-th keeps n factor^(-k / (C - 1)) images, n being the size of the largest
    (Cui et al. 2019), at least one; the last is smaller than the first by `factor`.

    Args:
        labels: of the whole set, int [N]; what is no class stays.
        indices: positions in it, int [n].
        classes: C.
        factor: at least 1.
        seed: decides which images stay.
    """
    generator = rng.generator(seed, "imbalance")
    # Of the whole set, so that an image stays or goes whichever part it is in.
    rank = generator.permutation(len(labels))
    members = [indices[labels[indices] == k] for k in range(classes)]
    most = max(map(len, members))
    kept = [indices[labels[indices] < 0]]
    for k, each in enumerate(members):
        wanted = max(1, round(most * factor ** (-k / max(classes - 1, 1))))
        kept.append(each[np.argsort(rank[each])][:wanted])
    return np.sort(np.concatenate(kept)).astype(np.int64)
