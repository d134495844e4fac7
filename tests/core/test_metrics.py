import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.metrics import BINS, evaluate

# Four images of two classes; softmax of (0, log k) is (1, k) / (1 + k).
LOGITS = np.log([[1.0, 3.0], [3.8, 1.2], [3.8, 6.2], [9.0, 1.0]])
TRUTH = np.array([1, 1, 1, 0])
CONFIDENCE = [0.75, 0.76, 0.62, 0.9]  # of the classes 1, 0, 1, 0: the second one is wrong
REAL = np.ones(4)


def evaluated(logits, truth, real=None):
    probs = tf.one_hot(truth, logits.shape[-1], dtype=logits.dtype)
    return evaluate(probs, tf.constant(logits), np.ones(len(truth)) if real is None else real)


@pytest.fixture
def by_hand():
    return evaluated(LOGITS, TRUTH).numpy()


def test_confusion_counts_images_by_true_and_predicted_class(by_hand):
    assert by_hand.confusion.tolist() == [[1, 0], [1, 2]]
    assert by_hand.images == 4


def test_error_and_loss_are_means_over_the_images(by_hand):
    assert by_hand.error == 25
    assert by_hand.loss == pytest.approx(-np.log([0.75, 0.24, 0.62, 0.9]).mean())


def test_the_only_answer_for_images_of_several_classes(by_hand):
    assert by_hand.only_answer is None
    assert evaluated(np.eye(3)[[1, 1, 1]], [0, 1, 2]).numpy().only_answer == 1
    assert evaluated(np.eye(3)[[1, 1, 1]], [1, 1, 1]).numpy().only_answer is None


def test_the_error_of_each_class_and_their_mean(by_hand):
    assert by_hand.class_errors == [0, pytest.approx(100 / 3)]
    assert by_hand.error_macro == pytest.approx(50 / 3)
    unseen = evaluated(np.eye(3), [0, 0, 1]).numpy()
    assert unseen.class_errors == [50, 100, None]
    assert unseen.error_macro == 75


def test_bins_hold_number_confidence_and_hits_by_confidence(by_hand):
    # 15 times the confidence is 11.25, 11.4, 9.3 and 13.5.
    expected = np.zeros((BINS, 3))
    expected[11] = [2, 1.51, 1]
    expected[9] = [1, 0.62, 1]
    expected[13] = [1, 0.9, 1]
    np.testing.assert_allclose(by_hand.bins, expected, atol=1e-12)


def test_expected_calibration_error_by_hand(by_hand):
    # Two in a bin of accuracy 0.5 and mean confidence 0.755, one 0.38 and one 0.1 too low:
    # (2 * 0.255 + 0.38 + 0.1) / 4.
    assert by_hand.ece == pytest.approx(24.75)


def test_rows_that_fill_up_do_not_count(by_hand):
    more = np.concatenate([LOGITS, [[5.0, -5.0]]])
    filled = evaluated(more, np.append(TRUTH, 1), np.append(REAL, 0)).numpy()
    for one, other in zip(by_hand, filled, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_add_up(by_hand):
    parts = [evaluated(LOGITS[rows], TRUTH[rows]) for rows in (slice(0, 1), slice(1, 4))]
    total = tf.nest.map_structure(tf.add, *parts).numpy()
    for one, other in zip(by_hand, total, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-15)


def test_a_certain_guess_lies_in_the_last_bin_and_ties_go_to_the_first_class():
    result = evaluated(np.array([[200.0, 0.0], [0.0, 0.0]], np.float32), [0, 1]).numpy()
    assert result.bins[-1].tolist() == [1, 1, 1]
    assert result.bins[7].tolist() == [1, 0.5, 0]  # (7 / 15, 8 / 15]
    assert result.confusion.tolist() == [[1, 0], [1, 0]]


def test_top_5_is_reported_with_more_than_ten_classes():
    logits = np.repeat(np.arange(11.0, 0, -1)[None], 3, axis=0)
    result = evaluated(logits, [0, 4, 5]).numpy()
    assert result.scores == {
        "error": pytest.approx(200 / 3),
        "error_macro": pytest.approx(200 / 3),
        "loss": result.loss,
        "error_top5": pytest.approx(100 / 3),
        "ece": result.ece,
    }
    assert "error_top5" not in evaluated(logits[:, :10], [0, 4, 5]).numpy().scores
