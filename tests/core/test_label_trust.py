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


def inputs_of(p, given):
    """What the regression reads where given labels say nothing more of the class."""
    return label_trust.features(p, p, given)


def test_features_are_those_of_the_definition():
    p, known = np.array([[0.7, 0.2, 0.1]]), np.array([[0.4, 0.5, 0.1]])
    row = label_trust.features(p, known, np.array([1]))[0]
    expected = [np.log(0.2001 / 0.8001), 0, 1, 0, 0.3, 0]
    np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)


def test_the_fit_is_where_the_gradient_of_the_penalised_loss_vanishes():
    p, truth, given = predictions()
    inputs, right = inputs_of(p, given), given == truth
    weights = label_trust.fit(inputs, right, np.ones(400), penalty=2.0)
    gradient = inputs.T @ (label_trust.sigmoid(inputs @ weights) - right) + 2.0 * weights
    np.testing.assert_allclose(gradient, 0, atol=1e-9)


@pytest.mark.parametrize("right", [True, False])
def test_labels_that_are_all_right_or_all_wrong_give_a_finite_answer(right):
    p, truth, _ = predictions()
    given = truth if right else (truth + 1) % 3
    inputs = inputs_of(p, given)
    found = label_trust.sigmoid(inputs @ label_trust.fit(inputs, given == truth, np.ones(400)))
    assert np.isfinite(found).all()
    assert (found > 0.9).mean() > 0.95 if right else (found < 0.1).mean() > 0.95


def test_wrong_labels_are_told_from_right_ones_of_other_images():
    p, truth, given = predictions(seed=0)
    weights = label_trust.fit(inputs_of(p, given), given == truth, np.ones(400))
    p, truth, given = predictions(seed=1)
    found = label_trust.sigmoid(inputs_of(p, given) @ weights)
    right = given == truth
    pairs = found[right][:, None] > found[~right][None]
    assert pairs.mean() > 0.95  # the area under the ROC curve


def test_a_large_penalty_says_nothing_of_any_label():
    p, truth, given = predictions()
    inputs = inputs_of(p, given)
    weights = label_trust.fit(inputs, given == truth, np.ones(400), penalty=1e9)
    np.testing.assert_allclose(label_trust.sigmoid(inputs @ weights), 0.5, atol=1e-3)


def test_images_that_cannot_be_told_apart_are_not_taken_to_be_labelled_wrong():
    """Calibrated predictions that mistake classes 0 and 1; a fifth of class 2 is called 0."""
    generator = np.random.default_rng(0)
    p = np.repeat([[0.8, 0.2, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]], 1000, axis=0)
    truth = np.repeat([0, 1, 0, 1, 2], [800, 200, 200, 800, 1000])
    given = np.where((truth == 2) & (generator.random(3000) < 0.2), 0, truth)
    counted = label_trust.confusion(p, given)
    found = label_trust.refined(counted, p, given)
    share = (given[truth == 2] == 0).mean()
    np.testing.assert_allclose(found[2], [share, 0, 1 - share], atol=1e-3)
    assert counted[0, 1] > 0.3
    assert found[0, 1] < 0.15


def test_em_raises_the_likelihood():
    """Of the given labels and of one right label of each class."""
    p, _, given = predictions(count=300)

    def likelihood(matrix):
        each = np.sum((p + label_trust.SMALLEST) * matrix[:, given].T, axis=1)
        return np.log(each).sum() + np.log(np.diag(matrix)).sum()

    found = [label_trust.confusion(p, given)]
    for _ in range(3):
        found.append(label_trust.refined(found[-1], p, given))
    assert (np.diff([likelihood(matrix) for matrix in found]) > 0).all()


def test_the_chances_of_unknown_labels_are_the_rows_of_their_classes():
    matrix = np.array([[0.6, 0.4, 0.0], [0.0, 0.0, 1.0], [0.2, 0.2, 0.6]])
    images, given, chances = label_trust.possible(matrix, np.array([2, 0, 1]), given=None)
    assert images.tolist() == [0, 0, 0, 1, 1, 2]
    assert given.tolist() == [0, 1, 2, 0, 1, 2]
    assert chances.tolist() == [0.2, 0.2, 0.6, 0.6, 0.4, 1.0]


def test_a_row_that_counts_twice_is_one_that_stands_twice():
    p, truth, given = predictions(count=40)
    inputs, right = inputs_of(p, given), given == truth
    twice = np.repeat(np.arange(40), 2)
    weights = label_trust.fit(inputs, right, np.full(40, 2.0))
    expected = label_trust.fit(inputs[twice], right[twice], np.ones(80))
    np.testing.assert_allclose(weights, expected, rtol=1e-9)
    assert not np.allclose(weights, label_trust.fit(inputs, right, np.ones(40)), rtol=1e-3)
