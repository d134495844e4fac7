"""Figure 4: the features of a network whose last hidden layer has two units."""

from collections.abc import Callable, Mapping, Sequence

import keras
import matplotlib.patheffects
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tf_metamixup.core.errors import UserError
from tf_metamixup.experiment import Assembly
from tf_metamixup.figures import style
from tf_metamixup.figures.runs import Run, by_row, check_alike, subject
from tf_metamixup.runs import fonts, results

BATCHES = 4  # of evaluated images
HALO = [matplotlib.patheffects.withStroke(linewidth=3, foreground="white")]


def figure(runs: Sequence[Run]) -> Figure:
    """Draws the features of evaluated images under each run's network; see `draw`.

    Raises:
        UserError: a network with more features than two.
    """
    check_alike(runs)
    panels = {}
    for run in (run for own in by_row(runs).values() for run in own):
        values, labels = of(run.rebuilt, run.rebuilt.prepared.evaluated.take(BATCHES))
        if values.shape[1] != 2:
            raise UserError(
                f"the network of {run.folder} has {values.shape[1]} features; figure 4 needs "
                "--architecture='cnn3(features=2)': bash launch/figure4.sh prints the commands"
            )
        part, error = results.reported_error(run.result)
        name = f"{run.row}, seed {run.config['seed']}: {part} error {error:.2f} %"
        panels[name] = values, labels
    return draw(panels, runs[0].rebuilt.source.classes, subject(runs))


def extractor(assembly: Assembly) -> Callable[[tf.Tensor], np.ndarray]:
    """Returns a function: scaled images [n, H, W, C] -> output of "features", float32 [n, D]."""
    model, network = assembly.trainer.model, assembly.trainer.network
    body = keras.Model(model.inputs, model.get_layer("features").output)
    infer = tf.function(lambda x: network.infer(x, body), reduce_retracing=True)
    return lambda x: infer(x).numpy().astype(np.float32)


def of(assembly: Assembly, batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Returns features float32 [N, D] and labels [N] of batches of stored images."""
    extract, scaled = extractor(assembly), assembly.trainer.network.preprocess
    parts = [(extract(scaled(images)), labels.numpy()) for images, labels in batches]
    values, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return values, labels


def draw(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str], what: str
) -> Figure:
    """Draws a dot per image in the colour of its class, and the class at its median.

    Each of the panels has features [n, 2] and labels [n].
    """
    classes = fonts.class_names(classes)
    written = {"fontfamily": fonts.families(classes), "parse_math": False, "path_effects": HALO}
    title = f"Evaluated images in the two features of the network\n{what}"
    made, grid = style.panels(title, len(panels), 4)
    for axes, (name, (values, labels)) in zip(grid, panels.items(), strict=True):
        colours = [style.CLASS_COLOURS[n % len(style.CLASS_COLOURS)] for n in labels]
        axes.scatter(*values.T, s=10, c=colours, linewidths=0, alpha=0.7)
        for label in np.unique(labels):
            place = np.median(values[labels == label], axis=0)
            axes.text(*place, classes[label], ha="center", va="center", **written)
        axes.set(title=name, xlabel="feature 1", ylabel="feature 2")
        axes.title.set_fontsize("small")
    return made
