import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import beta

from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.runs.history import BINS, Epoch, History

# lambda, lambda before, move, class of x_i, class of x_j, accepted
ROWS = np.array(
    [
        [0.25, 0.50, -1.0, 0, 1, 1],
        [0.75, 0.50, 1.0, 0, 1, 1],
        [1.00, 0.10, 3.0, 2, 2, 1],
        [0.33, 0.33, 9.0, 1, 1, 0],  # rejected
    ],
    np.float32,
)
EVALUATION = Evaluation(np.diag([3, 4, 5]), np.ones((15, 3)), np.array(2.0), np.array(12.0))


def steps(*ratios):
    return {"train_loss": np.array(ratios, np.float64)}


def filled(classes=3):
    epoch = Epoch(classes)
    epoch.add(steps([2.0, 1.0], [4.0, 1.0]), ROWS)
    return epoch


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name, strict=True)


def test_an_entry_holds_the_ratio_of_the_sums_and_the_moments_of_lambda():
    entry = filled().entry()
    assert entry["train_loss"] == 3.0
    assert entry["lambda_mean"] == pytest.approx(2 / 3)
    # Deviations -5/12, 1/12, 4/12.
    assert entry["lambda_std"] == pytest.approx(np.sqrt((25 + 1 + 16) / 144 / 3))
    # Distances 1, 1, 3, without a sign.
    assert entry["lambda_move_mean"] == pytest.approx(5 / 3)
    # The 99th percentile lies at 0.99 * 2 = 1.98 steps: 1 + 0.98 * 2.
    assert entry["lambda_move_p99"] == pytest.approx(2.96)


def test_mixing_entropy_is_that_of_the_targets_by_hand():
    # Two pairs of two classes have ln 4 - 3/4 ln 3, the pair of one class has none.
    assert filled().entry()["mixing_entropy"] == pytest.approx(2 / 3 * 0.5623351446)


@pytest.mark.parametrize(
    ("alpha", "by_hand"),
    # psi(2 alpha + 1) - psi(alpha + 1): of alpha = 1 it is 1 + 1/2 - 1, of 2 it is 1/3 + 1/4.
    [(0.1, 0.134715), (0.5, 2 * np.log(2) - 1), (1.0, 1 / 2), (2.0, 7 / 12)],
)
def test_mixing_entropy_of_beta_is_exact(alpha, by_hand):
    assert by_hand == pytest.approx(digamma(2 * alpha + 1) - digamma(alpha + 1), abs=1e-6)
    count = 200_000
    rows = np.tile(np.array([0, 0, 0, 0, 1, 1], np.float32), (count, 1))
    rows[:, 0] = beta.ppf((np.arange(count) + 0.5) / count, alpha, alpha)
    epoch = Epoch(2)
    epoch.add({}, rows)
    assert epoch.entry()["mixing_entropy"] == pytest.approx(by_hand, abs=2e-5)


def test_images_that_are_not_mixed_have_no_entropy():
    epoch = Epoch(3)
    epoch.add({}, np.array([[1.0, 1.0, 0.0, 0, 1, 1]], np.float32))
    assert epoch.entry()["mixing_entropy"] == 0


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios():
    epoch = Epoch(3)
    epoch.add({"accepted": np.array([[1.0, 1.0], [0.0, 3.0]])}, ROWS)
    assert epoch.entry()["accepted"] == 0.25


def test_an_epoch_without_a_trained_row_or_a_denominator_has_no_value():
    epoch = Epoch(3)
    epoch.add({"pseudo_label_error": np.zeros((2, 2))}, ROWS[3:])
    assert epoch.entry() == {
        "pseudo_label_error": None,
        "lambda_mean": None,
        "lambda_std": None,
        "lambda_move_mean": None,
        "lambda_move_p99": None,
    }


def test_histograms_count_lambda_before_and_after_the_policy():
    epoch = filled()
    before, after = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    before[25], before[5] = 2, 1  # bins are 0.02 wide, 0.1 as float32 lies just above 5 * 0.02
    after[12], after[37], after[49] = 1, 1, 1  # 1.0 belongs to the last bin
    np.testing.assert_array_equal(epoch.before, before)
    np.testing.assert_array_equal(epoch.after, after)


def test_class_pairs_sum_and_count_lambda_by_class_of_the_image_and_of_its_partner():
    epoch = filled()
    np.testing.assert_array_equal(epoch.pair_sum, [[0, 1, 0], [0, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(epoch.pair_count, [[0, 2, 0], [0, 0, 0], [0, 0, 1]])


def test_what_is_recorded_does_not_depend_on_how_steps_fall_into_calls():
    generator = np.random.default_rng(0)
    losses = generator.uniform(0, 3, (40, 2))
    rows = generator.uniform(0, 1, (40 * 7, 6)).astype(np.float32)
    rows[:, 3:5] = generator.integers(0, 3, (40 * 7, 2))
    rows[:, 5] = 1

    def in_calls(*ends):
        epoch = Epoch(3)
        for begin, end in zip((0, *ends), (*ends, 40), strict=True):
            epoch.add(steps(*losses[begin:end]), rows[begin * 7 : end * 7])
        return epoch

    expected = in_calls()
    for ends in [(1,), (1, 2, 3, 20), tuple(range(1, 40))]:
        assert in_calls(*ends).entry() == expected.entry()
        same(in_calls(*ends).arrays(), expected.arrays())


def test_a_history_survives_a_checkpoint_in_mid_epoch():
    def first_half():
        history = History(3)
        history.open.add(steps([2.0, 1.0]), ROWS)
        history.close({"test_error": 50.0}, EVALUATION)
        history.open.add(steps([0.1, 1.0]), ROWS[:2])
        return history

    def second_half(history):
        history.open.add(steps([0.2, 1.0]), ROWS[1:])
        history.close({"test_error": 25.0})
        return history

    whole = second_half(first_half())
    saved = first_half()
    resumed = second_half(History.from_arrays(3, saved.entries, saved.arrays()))
    assert resumed.entries == whole.entries
    assert [entry["epoch"] for entry in whole.entries] == [1, 2]
    same(resumed.evaluation._asdict(), EVALUATION._asdict())  # the second epoch had none
    same(resumed.lambdas(), whole.lambdas())
    same(resumed.arrays(), whole.arrays())


def test_an_empty_history_survives_a_checkpoint():
    history = History.from_arrays(3, [], History(3).arrays())
    assert history.entries == []
    same(history.arrays(), History(3).arrays())


def test_lambdas_hold_one_row_an_epoch_and_on_demand_the_open_one():
    history = History(3)
    history.open.add(steps([1.0, 1.0]), ROWS)
    history.close({})
    history.open.add(steps([1.0, 1.0]), ROWS[:1])
    lambdas = history.lambdas()
    assert lambdas["edges"].shape == (BINS + 1,)
    assert lambdas["before"].shape == lambdas["after"].shape == (1, BINS)
    assert lambdas["pair_epochs"].tolist() == [1]
    lambdas = history.lambdas(with_open=True)
    assert lambdas["after"].sum(axis=1).tolist() == [3, 1]
    assert lambdas["pair_epochs"].tolist() == [1, 2]
    assert lambdas["pair_count"].sum(axis=(1, 2)).tolist() == [3, 1]


def test_above_twenty_classes_only_the_last_epoch_keeps_its_class_pairs():
    for classes, kept in [(20, [1, 2, 3]), (21, [3])]:
        history = History(classes)
        for number in range(3):
            history.open.add(steps([1.0, 1.0]), ROWS[: number + 1])
            history.close({})
        assert history.lambdas()["pair_epochs"].tolist() == kept
        assert history.lambdas()["pair_count"][-1].sum() == 3
        restored = History.from_arrays(classes, history.entries, history.arrays())
        same(restored.lambdas(), history.lambdas())
        assert restored.last_pairs[1].sum() == 3
