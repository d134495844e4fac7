import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from tests.figures.made import run
from tf_metamixup.core.errors import UserError
from tf_metamixup.figures import intrusion

REAL = np.array([[0.0, 1.0], [3.0, 4.0], [0.0, 2.0]])
CLASSES = np.array([0, 2, 1])


def test_the_nearest_real_image_is_of_neither_class_of_the_pair():
    points = np.zeros((3, 2))
    pairs = np.array([[0, 1], [0, 0], [2, 1]])
    found = intrusion.nearest_other(points, pairs, REAL, CLASSES)
    assert found.tolist() == [5, 2, 1]


def test_many_points_are_taken_in_parts_to_the_same_effect(monkeypatch):
    generator = np.random.default_rng(0)
    points, pairs = generator.normal(size=(7, 2)), generator.integers(0, 3, (7, 2))
    whole = intrusion.nearest_other(points, pairs, REAL, CLASSES)
    monkeypatch.setattr(intrusion, "CHUNK", 3)
    assert (intrusion.nearest_other(points, pairs, REAL, CLASSES) == whole).all()


def test_bars_are_means_over_seeds_and_beside_them_in_units_of_real_images():
    measured = {"MixUp": np.array([[2.0, 1.0, 4.0], [4.0, 1.0, 4.0]])}
    left, right = intrusion.draw(measured, "digits").axes
    heights = [[patch.get_height() for patch in axes.patches] for axes in (left, right)]
    assert heights == [[3, 1], [0.75, 0.25]]


@pytest.mark.parametrize(
    ("mixed_steps", "taken", "steps"),
    [(60, 60, range(40, 60)), (30, 60, range(10, 30)), (30, 25, range(5, 25))],
)
def test_the_mixed_images_are_those_that_were_mixed_last(monkeypatch, mixed_steps, taken, steps):
    seen = []

    class Diagnostics:
        def __init__(self, graphs):
            pass

        def mixture(self, batch, step):
            assert batch == step
            seen.append(step)
            examples = SimpleNamespace(y=np.eye(2))
            return SimpleNamespace(x=np.zeros((2, 3)), examples=examples, partner=[1, 0])

    monkeypatch.setattr(intrusion, "Diagnostics", Diagnostics)
    monkeypatch.setattr(intrusion.features, "extractor", lambda _: np.array)
    graphs = SimpleNamespace(batches=itertools.count)
    assembly = SimpleNamespace(graphs=graphs, mixed_steps=mixed_steps)
    _, pairs = intrusion._mixed(assembly, taken)
    assert seen == [*steps]
    assert pairs[:2].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("settings", [{"mode": "ssl"}, {"method": "manifold_mixup"}])
def test_runs_that_train_on_more_than_mixed_labelled_images_are_reported(settings):
    with pytest.raises(UserError, match="figure 5 is of runs with --mode=sl"):
        intrusion.figure([run(**settings)])
