"""How well an order finds what is wrong: area under the ROC curve, and precision at k."""

import numpy as np


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Computes the fraction of pairs (positive, negative) whose positive has the higher score.

    Ties count half.

    Args:
        scores: [N].
        positive: bool [N].

    Returns:
        None where all are positive, or none is.

    >>> area_under_roc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    below = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(below / (positives * negatives))


def precision_at(scores: np.ndarray, positive: np.ndarray, k: int) -> float:
    """Computes the fraction of positives among the `k` highest scores.

    >>> precision_at(np.array([0.1, 0.9, 0.8]), np.array([False, True, False]), 2)
    0.5
    """
    return float(positive[np.argsort(-scores, kind="stable")[:k]].mean())
