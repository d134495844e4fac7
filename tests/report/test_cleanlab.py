"""What the audit finds of wrong labels, beside cleanlab from the same predictions."""

import numpy as np
import pytest

from tests.core.test_label_trust import predictions
from tf_metamixup.core import gaussian_mixture, label_trust
from tf_metamixup.core.ranking import area_under_roc

filters = pytest.importorskip("cleanlab.filter")
rank = pytest.importorskip("cleanlab.rank")


@pytest.fixture(scope="module")
def found():
    """Predictions, given labels, which of them are wrong, and the audit's probabilities."""
    p, truth, given = predictions(seed=0, count=100)
    weights = label_trust.fit(label_trust.features(p, p, given), given == truth, np.ones(100))
    p, truth, given = predictions(seed=1, count=2000)
    right = label_trust.sigmoid(label_trust.features(p, p, given) @ weights)
    return p, given, given != truth, right


@pytest.mark.parametrize("method", ["self_confidence", "normalized_margin"])
def test_the_audit_orders_labels_no_worse_than_cleanlab(found, method):
    p, given, wrong, right = found
    quality = rank.get_label_quality_scores(given, p, method=method)
    assert area_under_roc(-right, wrong) > area_under_roc(-quality, wrong) - 0.005


def test_the_order_of_small_losses_is_cleanlabs_self_confidence(found):
    p, given, _, _ = found
    each = -np.log(p[np.arange(len(p)), given])
    right = gaussian_mixture.lower(each, *gaussian_mixture.fit(each))
    quality = rank.get_label_quality_scores(given, p, method="self_confidence")
    ordered = right[np.argsort(quality, kind="stable")]
    assert (np.diff(ordered) >= -1e-12).all()


def test_labels_more_likely_wrong_than_right_are_found_as_well_as_by_its_filter(found):
    p, given, wrong, right = found
    # More jobs are forks, and a fork of a process that runs TensorFlow can wait for ever.
    issues = filters.find_label_issues(given, p, n_jobs=1)

    def f1(flagged):
        return 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum())

    assert f1(right < 0.5) > f1(issues) - 0.01
