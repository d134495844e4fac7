import numpy as np
import pytest

from tf_metamixup.core import label_trust


def predictions(seed=0, count=400, classes=3, noise=0.4):
    """Confident predictions of the true class, and labels of which a share is wrong."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, count)
    logits = generator.normal(0, 1, (count, classes)) + 3 * np.eye(classes)[truth]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = generator.random(count) < noise
    given = np.where(wrong, (truth + generator.integers(1, classes, count)) % classes, truth)
    return p, truth, given


def test_features_are_those_of_the_definition():
    row = label_trust.features(np.array([[0.7, 0.2, 0.1]]), np.array([1]))[0]
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1))
    expected = [np.log(0.2001), np.log(0.7001), -0.5, entropy, 1, 0, 0.3, 0]
    np.testing.assert_allclose(row, expected, rtol=1e-12)


def test_the_fit_is_where_the_gradient_of_the_penalised_loss_vanishes():
    p, truth, given = predictions()
    inputs, right = label_trust.features(p, given), given == truth
    weights = label_trust.fit(inputs, right, penalty=2.0)
    gradient = inputs.T @ (label_trust.sigmoid(inputs @ weights) - right) + 2.0 * weights
    np.testing.assert_allclose(gradient, 0, atol=1e-9)


@pytest.mark.parametrize("right", [True, False])
def test_labels_that_are_all_right_or_all_wrong_give_a_finite_answer(right):
    p, truth, _ = predictions()
    given = truth if right else (truth + 1) % 3
    inputs = label_trust.features(p, given)
    found = label_trust.sigmoid(inputs @ label_trust.fit(inputs, given == truth))
    assert np.isfinite(found).all()
    assert (found > 0.9).mean() > 0.95 if right else (found < 0.1).mean() > 0.95


def test_wrong_labels_are_told_from_right_ones_of_other_images():
    p, truth, given = predictions(seed=0)
    weights = label_trust.fit(label_trust.features(p, given), given == truth)
    p, truth, given = predictions(seed=1)
    found = label_trust.sigmoid(label_trust.features(p, given) @ weights)
    right = given == truth
    pairs = found[right][:, None] > found[~right][None]
    assert pairs.mean() > 0.95  # the area under the ROC curve


def test_a_large_penalty_says_nothing_of_any_label():
    p, truth, given = predictions()
    inputs = label_trust.features(p, given)
    weights = label_trust.fit(inputs, given == truth, penalty=1e9)
    np.testing.assert_allclose(label_trust.sigmoid(inputs @ weights), 0.5, atol=1e-3)


def test_injected_labels_follow_the_mean_predictions_of_their_class():
    p = np.array([[0.5, 0.5, 0.0], [0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
    labels = np.repeat([0, 0, 1], 4000)
    drawn = label_trust.injected(np.repeat(p, 4000, axis=0), labels, np.random.default_rng(0))
    shares = [np.bincount(drawn[labels == k], minlength=3) / (labels == k).sum() for k in (0, 1)]
    np.testing.assert_allclose(shares, [[0.6, 0.4, 0.0], [0.0, 0.0, 1.0]], atol=0.02)


def test_an_injected_label_of_a_class_nobody_checked_does_not_exist_and_a_draw_repeats():
    p, labels = np.full((5, 3), 1 / 3), np.array([0, 0, 0, 0, 0])
    first, second = (label_trust.injected(p, labels, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert set(first) <= {0, 1, 2}
