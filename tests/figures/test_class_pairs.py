import numpy as np
import pytest
from scipy.stats import chi2

from tests.figures.made import run
from tf_metamixup.core.errors import UserError
from tf_metamixup.figures import class_pairs
from tf_metamixup.figures.class_pairs import Pairs

SPREAD = 0.3


def test_the_mean_is_by_cell_and_unknown_where_no_pair_is():
    pairs = Pairs(np.array([[1.0, 0.0]]), np.array([[4, 0]]), SPREAD)
    assert pairs.mean[0, 0] == 0.25 and np.isnan(pairs.mean[0, 1])


def test_the_chance_is_that_of_chi_squared_by_hand():
    # Means 0.4, 0.5, 0.5 and 0.6 of ten pairs each: 2 * 10 * 0.01 / 0.09 with 3 degrees.
    pairs = Pairs(np.array([[4.0, 5.0], [5.0, 6.0]]), np.full((2, 2), 10), SPREAD)
    assert pairs.chance == pytest.approx(chi2.sf(0.2 / 0.09, 3))


def test_lambdas_without_regard_to_class_are_rarely_called_different():
    generator = np.random.default_rng(0)
    chances = []
    for _ in range(200):
        lam = generator.uniform(size=(100, 20))
        total, count = lam.sum(axis=1).reshape(10, 10), np.full((10, 10), 20)
        chances.append(Pairs(total, count, lam.std()).chance)
    assert 0.02 < np.mean(np.array(chances) < 0.05) < 0.1
    assert 0.4 < np.mean(chances) < 0.6


def learned(length=4, **config):
    lambdas = {
        "pair_epochs": np.arange(1, length + 1),
        "pair_sum": np.arange(length)[:, None, None] + np.ones((length, 2, 2)),
        "pair_count": np.full((length, 2, 2), 10),
    }
    config.setdefault("epochs", length)
    return run(lambdas=lambdas, history=[{"lambda_std": SPREAD}] * length, **config)


def test_the_epochs_of_a_panel_are_taken_together():
    figure = class_pairs.figure([learned()], [(1, 2), (4, 4)])
    titles = [axes.get_title() for axes in figure.axes]
    assert {"epochs 1 to 2", "epoch 4"} <= set(titles)
    maps = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [float(each[0, 0]) for each in maps] == pytest.approx([3 / 20, 4 / 10])


def test_by_default_the_quarters_of_the_run_are_shown():
    titles = [axes.get_title() for axes in class_pairs.figure([learned(8)]).axes]
    assert {f"epochs {n} to {n + 1}" for n in (1, 3, 5, 7)} <= set(titles)


def test_by_default_no_epoch_after_mixing_has_stopped_is_shown():
    figure = class_pairs.figure([learned(8, mix_until=0.5)])
    titles = [axes.get_title() for axes in figure.axes]
    assert {f"epoch {n}" for n in (1, 2, 3, 4)} <= set(titles)
    assert "mixed for 50 % of the steps" in figure.get_suptitle()


def test_a_run_that_ended_early_mixed_for_its_share_of_the_planned_epochs():
    figure = class_pairs.figure([learned(4, mix_until=0.5, epochs=8)])
    assert {f"epoch {n}" for n in (1, 2, 3, 4)} <= {axes.get_title() for axes in figure.axes}


def test_an_epoch_that_the_run_has_not_is_reported():
    with pytest.raises(UserError, match=r"--epochs=5: .* epochs 1 to 4"):
        class_pairs.figure([learned()], [(1, 1), (4, 5)])


def test_a_lambda_that_is_always_the_same_is_reported():
    fixed = learned()
    fixed.result["history"] = [{"lambda_std": 0.0}] * 4
    with pytest.raises(UserError, match="the same for all pairs"):
        class_pairs.figure([fixed])
