import numpy as np

from tf_metamixup.figures import features


def test_each_class_is_named_at_the_median_of_its_images():
    values = np.array([[0.0, 0.0], [2.0, 4.0], [4.0, 90.0], [7.0, 7.0]])
    figure = features.draw({"MixUp": (values, np.array([0, 0, 0, 1]))}, ["cat", "dog"], "pets")
    (axes,) = figure.axes
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        "cat": (2, 4),
        "dog": (7, 7),
    }
    assert axes.collections[0].get_offsets().tolist() == values.tolist()


def test_three_networks_stand_in_a_line_and_more_below():
    panel = (np.zeros((1, 2)), np.array([0]))
    figure = features.draw({str(n): panel for n in range(4)}, ["cat"], "pets")
    assert [axes.get_title() for axes in figure.axes] == ["0", "1", "2", "3"]
