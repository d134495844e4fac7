import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tf_metamixup.core.ranking import area_under_roc, precision_at


@pytest.mark.parametrize("decimals", [1, 6])
def test_the_area_is_scikit_learns_with_ties_too(decimals):
    generator = np.random.default_rng(0)
    positive = generator.random(300) < 0.3
    scores = np.round(generator.normal(positive, 1.0), decimals)
    assert area_under_roc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_there_is_no_area_where_nothing_is_wrong():
    assert area_under_roc(np.arange(3.0), np.zeros(3, bool)) is None


def test_precision_counts_the_highest_scores():
    scores, positive = np.array([0.2, 0.9, 0.5, 0.7]), np.array([True, True, False, True])
    assert [precision_at(scores, positive, k) for k in (1, 3)] == [1.0, pytest.approx(2 / 3)]
