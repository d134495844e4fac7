import matplotlib
import numpy as np
import pytest

from tf_metamixup.mixing import Sample
from tf_metamixup.runs import tensorboard_images as images

NAMES = ["cat", "dog"]
COUNT = np.array([[10, 10], [10, 0]])


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    drawn, pixels = [], images._pixels
    monkeypatch.setattr(images, "_pixels", lambda figure: drawn.append(figure) or pixels(figure))
    return drawn


def heat_map(figure):
    return next(axes for axes in figure.axes if axes.images)


def written(axes):
    return {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}


def test_class_pairs_are_shown_around_their_mean_with_names_and_numbers(figures):
    # Means 0.4, 0.5 and 0.6; 0.5 in all.
    image = images.class_pairs(np.array([[4.0, 5.0], [6.0, 0.0]]), COUNT, NAMES)
    assert image.dtype == np.uint8 and image.ndim == 3
    axes = heat_map(figures[0])
    norm = axes.images[0].norm
    assert (norm.vmin, norm.vmax) == (pytest.approx(0.4), pytest.approx(0.6))
    assert written(axes) == {(0, 0): "0.40", (1, 0): "0.50", (0, 1): "0.60"}
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    title = figures[0].get_suptitle()
    assert "0.500 in all, pairs 0.400 to 0.600" in title and "10 mixed rows a cell" in title


def test_differences_of_a_percent_are_seen():
    near = images.class_pairs(np.array([[4.95, 5.0], [5.05, 5.0]]), np.full((2, 2), 10), NAMES)
    same = images.class_pairs(np.full((2, 2), 5.0), np.full((2, 2), 10), NAMES)
    assert near[:, :400].std() > 1.5 * same[:, :400].std()


def test_without_pairs_there_is_no_picture():
    assert images.class_pairs(np.zeros((2, 2)), np.zeros((2, 2), int), NAMES) is None


def test_confusion_counts_images_and_colours_by_true_class(figures):
    images.confusion(np.array([[6, 2], [0, 2]]), NAMES)
    axes = heat_map(figures[0])
    assert written(axes) == {(0, 0): "6", (1, 0): "2", (1, 1): "2"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert "10 images, error 20.00 %" in figures[0].get_suptitle()


def test_many_classes_have_no_numbers_and_no_names(figures):
    images.confusion(np.eye(31, dtype=int), [f"class {number}" for number in range(31)])
    axes = heat_map(figures[0])
    assert not axes.texts and "class 0" not in [t.get_text() for t in axes.get_xticklabels()]


def test_reliability_is_accuracy_by_confidence(figures):
    # Of four images in the upper half, with 0.8 in the mean, three are right.
    images.reliability(np.array([[0, 0, 0], [4, 3.2, 3.0]]), 5.0)
    above, below = figures[0].axes
    (bar,) = above.patches
    assert (bar.get_x(), bar.get_width(), bar.get_height()) == (0.5, 0.5, 0.75)
    assert [bar.get_height() for bar in below.patches] == [0, 1]
    title = figures[0].get_suptitle()
    assert "error 5.00 %" in title and "80.0 %, accuracy 75.0 %: overconfident" in title


def test_a_mixed_row_tells_lambda_labels_and_what_the_network_says(figures):
    black, white = np.full((2, 4, 4, 1), -1.0), np.ones((2, 4, 4, 1))
    image = images.mixed_rows(
        Sample(
            *(black, white, 0.5 * white, np.eye(2), np.eye(2)[::-1]),
            *(np.array([0.25, 0.5]), np.array([True, False]), np.array([False, True])),
        ),
        *(np.array([[0.1, 0.9], [0.6, 0.4]]), NAMES),
    )
    _, first, second = (text.get_text() for text in figures[0].texts)
    assert first == "0.25 of cat + 0.75 of dog\nsays dog: 90 %, cat: 10 %"
    assert second == "rejected ~dog\nsays cat: 60 %, dog: 40 %"
    # -1 to 1 is black to white, and 0.5 three quarters of the way.
    assert {0, 255, 191} <= set(np.unique(image[-10]))


def test_names_are_no_formulas_and_leave_no_trace(figures):
    before = matplotlib.rcParams["text.parse_math"]
    images.confusion(np.eye(2, dtype=int), ["$x", "$y^{$ " + 20 * "long"])
    assert matplotlib.rcParams["text.parse_math"] == before


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_are_drawn_side_by_side(channels):
    three = [np.random.default_rng(0).random((2, 6, 5, channels)) for _ in range(3)]
    low, high = np.min(three), np.max(three)
    corner = three[0][0, 0, 0]
    colour = corner[:3] if channels >= 3 else corner[[0, 0, 0]]  # of two channels the first
    drawn = images._triples(three)[0, 0, 0]
    np.testing.assert_allclose(drawn, (colour - low) / (high - low), atol=1e-6)
