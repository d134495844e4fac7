"""Figure 5: how far mixed images are from real images of other classes."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from tf_metamixup.core.errors import UserError
from tf_metamixup.data.pipeline import test_batches
from tf_metamixup.data.prepare import TEST_BATCH
from tf_metamixup.experiment import Assembly
from tf_metamixup.figures import features, style
from tf_metamixup.figures.runs import Run, by_row, check_alike, seeds, subject
from tf_metamixup.training.diagnostics import Diagnostics

# Mixed images of at most so many of a run's last steps, and real ones.
STEPS, REAL = 20, 10_000
CHUNK = 200


def figure(runs: Sequence[Run]) -> Figure:
    """Draws distances in the feature space of each run's trained network; see `draw`.

    The paper measures "all the mixed images during training". Here they are those of the last
    steps that mixed, as these mixed them, seen by the weights that the run ended with: those of
    earlier steps are gone.

    Raises:
        UserError: a run that does not train on mixed labelled images.
    """
    check_alike(runs)
    for run in runs:
        if not run.mixes_labelled_images:
            raise UserError(
                f"{run.folder} trains with {run.row}; figure 5 is of runs with --mode=sl and "
                "--method=supervised, which train on mixed labelled images only"
            )
    rows = by_row(runs)
    return draw(
        {
            f"{row}, {seeds(own)}": np.array([_distances(run) for run in own])
            for row, own in rows.items()
        },
        subject(runs),
    )


def _distances(run: Run) -> tuple[float, float, float]:
    """Returns (mean, minimum over mixed images, mean over real images), as in `draw`."""
    assembly = run.rebuilt
    labelled = assembly.prepared.splits.labelled[:REAL]
    real, classes = features.of(
        assembly, test_batches(assembly.source.train.keep(labelled), TEST_BATCH)
    )
    mixed, pairs = _mixed(assembly, run.result["steps"])
    own = np.stack([classes, classes], axis=1)
    nearest = nearest_other(mixed, pairs, real, classes)
    return nearest.mean(), nearest.min(), nearest_other(real, own, real, classes).mean()


def _mixed(assembly: Assembly, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns features [n, D] of the images mixed last in a run of `steps`, and classes [n, 2]."""
    graphs = assembly.graphs
    diagnostics = Diagnostics(graphs)
    last = min(steps, assembly.mixed_steps)
    first = max(0, last - STEPS)
    extract, values, pairs = features.extractor(assembly), [], []
    batches = itertools.islice(graphs.batches(first), last - first)
    for step, batch in enumerate(batches, first):
        mixture = diagnostics.mixture(batch, step)
        kinds = tf.argmax(mixture.examples.y, axis=1)
        values.append(extract(mixture.x))
        pairs.append(tf.stack([kinds, tf.gather(kinds, mixture.partner)], axis=1).numpy())
    return np.concatenate(values), np.concatenate(pairs)


def nearest_other(
    points: np.ndarray, classes: np.ndarray, real: np.ndarray, real_classes: np.ndarray
) -> np.ndarray:
    """Computes the distance of each point to the nearest real one of another class, [n].

    `points` are [n, D], mixed of images of `classes` [n, 2]; `real` ones [m, D] of classes [m].
    """
    nearest = []
    for first in range(0, len(points), CHUNK):
        part = slice(first, first + CHUNK)
        distances = cdist(points[part], real)
        same = (classes[part, :, None] == real_classes).any(axis=1)
        nearest.append(np.where(same, np.inf, distances).min(axis=1))
    return np.concatenate(nearest)


def draw(measured: Mapping[str, np.ndarray], what: str) -> Figure:
    """Draws bars as in the paper, and beside them in units of what real images have.

    Two networks' feature spaces have no common unit: doubling all features changes no error.

    Args:
        measured: [seeds, 3] by row: mean and minimum over mixed images of the distance to the
            nearest real image of another class, and the mean of the same over the real images.
        what: was trained, for the title.
    """
    title = "Distance of mixed images to the nearest real image of another class"
    made = style.new(f"{title}, in feature space\n{what}", height=4.2)
    left, right = made.subplots(1, 2)
    for axes, scale, label in (
        (left, 0, "Euclidean distance between features"),
        (right, 1, "the same over that of real images"),
    ):
        for number, (name, values) in enumerate(measured.items()):
            heights = values[:, :2] / (values[:, 2:] if scale else 1)
            spread = heights.std(axis=0, ddof=1) if len(heights) > 1 else None
            places = np.arange(2) + 0.8 * (number + 0.5) / len(measured) - 0.4
            bars = axes.bar(
                places,
                heights.mean(axis=0),
                0.76 / len(measured),
                yerr=spread,
                capsize=4,
                color=style.line(number)["color"],
                hatch=("", "//", "..", "xx")[number % 4],
                edgecolor="white",
                label=name,
            )
            axes.bar_label(bars, fmt="%.3g", padding=2, fontsize="small")
        axes.set_xticks([0, 1], ["mean", "minimum"])
        axes.set(xlabel="over the mixed images", ylabel=label)
        axes.margins(y=0.1 + 0.08 * len(measured))  # the legend stands above the bars
    left.legend(fontsize="small")
    return made
