import numpy as np
import pytest

from tests.figures.made import run
from tf_metamixup.core.errors import UserError
from tf_metamixup.figures import meta_size


def test_points_are_means_with_the_sample_deviation_of_the_seeds():
    figure = meta_size.draw({"MetaMixUp": {100: [3.0, 5.0], 10: [8.0]}}, "test error")
    (axes,) = figure.axes
    means, *_ = axes.containers[0].lines
    assert means.get_xdata().tolist() == [10, 100] and means.get_ydata().tolist() == [8, 4]
    (bars,) = axes.containers[0].lines[2]
    low, high = bars.get_segments()[1][:, 1]
    assert (low, high) == pytest.approx((4 - np.sqrt(2), 4 + np.sqrt(2)))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "100"]


def test_data_sets_have_curves_of_their_own():
    runs = [
        run(dataset=dataset, flip=flip, num_meta=size)
        for dataset, flip in (("digits", False), ("cifar10", True))
        for size in (10, 20)
    ]
    (axes,) = meta_size.figure(runs).axes
    assert len(axes.containers) == 2


@pytest.mark.parametrize(
    ("on", "what"), [("test", "test error"), ("unused", "unused training error")]
)
def test_the_figure_says_what_its_errors_are_of(on, what):
    made = meta_size.figure([run(num_meta=size, evaluate_on=on) for size in (10, 20)])
    assert made.axes[0].get_ylabel() == f"{what}, %"
    assert made.get_suptitle() == f"{what.capitalize()} by size of the meta set"


def test_one_size_is_reported():
    with pytest.raises(UserError, match=r"all runs have num_meta=10.*figure3\.sh"):
        meta_size.figure([run(num_meta=10)])


def test_other_settings_than_the_size_are_reported():
    with pytest.raises(UserError, match=r"num_meta.*epochs: 2 and 3"):
        meta_size.figure([run(num_meta=10), run(num_meta=20, epochs=3)])


def test_a_run_without_a_meta_set_is_reported():
    with pytest.raises(UserError, match="records no num_meta"):
        meta_size.figure([run()])
