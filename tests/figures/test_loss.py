import numpy as np
import pytest

from tests.figures.made import run
from tf_metamixup.figures import loss


def history(*losses, **entry):
    return [{"train_loss": loss, **entry} for loss in losses]


def test_the_floor_is_the_recorded_entropy_of_the_mixed_targets():
    mixed = run(policy="beta(alpha=0.1)", history=history(0.7, 0.4, mixing_entropy=0.1347))
    left, right = loss.figure([mixed]).axes
    assert left.lines[1].get_ydata().tolist() == [0.1347, 0.1347]
    assert right.lines[0].get_ydata() == pytest.approx([0.5653, 0.2653])


def test_a_run_that_did_not_record_it_has_one_panel_and_is_reported():
    new = run(seed=1, history=history(0.7, mixing_entropy=0.5))
    with pytest.warns(UserWarning, match="seed=0.* did not record the entropy"):
        (axes,) = loss.figure([new, run(history=history(0.7))]).axes
    assert "pale" not in axes.get_title()


def test_the_entropy_of_targets_before_smoothing_is_no_floor_of_runs_that_smooth_them():
    smoothed = run(label_smoothing=0.1, history=history(0.7, mixing_entropy=0.0))
    with pytest.warns(UserWarning, match="label_smoothing=0.1, .* it is left out"):
        (axes,) = loss.figure([smoothed]).axes
    assert "pale" not in axes.get_title()


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


def test_there_may_be_more_curves_than_colours():
    curves = {f"row {number}": np.ones((2, 3)) for number in range(10)}
    assert len(loss.draw(curves, None, "digits").axes[0].lines) == 10


def test_without_a_floor_there_is_one_panel():
    assert len(loss.draw({"APL": np.ones((1, 3))}, None, "digits").axes) == 1
