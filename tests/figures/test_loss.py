import numpy as np
import pytest

from tests.figures.made import run
from tf_metamixup.figures import loss

EDGES = np.array([0, 0.5, 1])


def test_the_floor_is_the_entropy_of_the_mixed_targets_by_hand():
    # Middles 1/4 and 3/4: both have the entropy ln 4 - 3/4 ln 3 = 0.5623.
    (value,) = loss.floor(EDGES, np.array([[1, 3]]), different=0.5)
    assert value == pytest.approx(0.5 * 0.562335, rel=1e-5)


def test_each_epoch_has_the_floor_of_its_own_lambdas():
    edges = np.array([0, 1e-9, 1])  # the middle of the first bin has no entropy, that of 1/2 ln 2
    values = loss.floor(edges, np.array([[4, 0], [2, 2], [0, 4]]), different=1.0)
    assert values == pytest.approx(np.log(2) * np.array([0, 0.5, 1]), abs=1e-7)


def test_images_that_are_not_mixed_have_no_floor():
    lambdas = {
        "edges": EDGES,
        "after": np.array([[0, 4], [0, 4]]),
        "pair_count": np.ones((2, 2, 2), int),
    }
    epochs = [{"train_loss": x, "lambda_mean": 1.0, "lambda_std": 0.0} for x in (0.7, 0.1)]
    unmixed = run(policy="none", lambdas=lambdas, history=epochs)
    left, right = loss.figure([unmixed]).axes
    assert left.lines[1].get_ydata().tolist() == [0, 0]
    assert right.lines[0].get_ydata().tolist() == [0.7, 0.1]


def test_curves_are_means_over_seeds_with_and_without_the_floor():
    losses = {"MixUp, 2 seeds": np.array([[2.0, 1.0], [4.0, 1.0]])}
    figure = loss.draw(losses, {"MixUp, 2 seeds": np.full((2, 2), 0.5)}, "digits")
    left, right = figure.axes
    curve, floor = left.lines
    assert curve.get_ydata().tolist() == [3, 1] and curve.get_xdata().tolist() == [1, 2]
    assert floor.get_ydata().tolist() == [0.5, 0.5]
    assert right.lines[0].get_ydata().tolist() == [2.5, 0.5]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["MixUp, 2 seeds"]
    assert "digits" in figure.get_suptitle() and left.get_xlabel() == "epoch"


def test_without_a_floor_there_is_one_panel():
    assert len(loss.draw({"APL": np.ones((1, 3))}, None, "digits").axes) == 1
