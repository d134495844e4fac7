"""Proposition 1: the interpolation gap of a trained network against its bound."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tf_metamixup.experiment import Assembly
from tf_metamixup.figures import style
from tf_metamixup.figures.runs import Run, by_row, check_alike, subject

PAIRS, CHUNK = 4000, 500
BATCHES = 4  # of evaluated images
TYPICAL = 0.99


def figure(runs: Sequence[Run]) -> Figure:
    """Draws gaps of random pairs of evaluated images, the same for all runs; see `draw`."""
    check_alike(runs)
    panels = {
        f"{run.row}, seed {run.config['seed']}": gaps_of(run.rebuilt)
        for own in by_row(runs).values()
        for run in own
    }
    return draw(panels, subject(runs))


def gaps_of(assembly: Assembly) -> tuple[np.ndarray, np.ndarray]:
    """Computes `gaps` of the class probabilities between scaled, evaluated images."""
    network = assembly.trainer.network
    batches = assembly.prepared.evaluated.take(BATCHES)
    x = np.concatenate([network.preprocess(images).numpy() for images, _ in batches])
    infer = tf.function(lambda x: tf.nn.softmax(network.infer(x)), reduce_retracing=True)
    return gaps(lambda x: infer(x).numpy(), x)


def gaps(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes both sides of P2 but kappa / 2, for PAIRS random pairs with random lambdas.

    Args:
        f: [n, ...] -> [n, outputs].
        x: [N, ...].

    Returns:
        lambda (1 - lambda) |x - x'|^2, and |f(mixed) - mixed f|: the largest over the outputs, so
        that a kappa which bounds it bounds each of them. [PAIRS] both.
    """
    generator = np.random.default_rng(0)
    bounding, gap = [], []
    for _ in range(PAIRS // CHUNK):
        i, j = generator.integers(0, len(x), (2, CHUNK))
        lam = generator.uniform(size=CHUNK).astype(x.dtype)
        share = lam.reshape(-1, *[1] * (x.ndim - 1))
        middle = f(share * x[i] + (1 - share) * x[j])
        ends = lam[:, None] * f(x[i]) + (1 - lam[:, None]) * f(x[j])
        squares = ((x[i] - x[j]) ** 2).reshape(CHUNK, -1).sum(axis=1)
        bounding.append(lam * (1 - lam) * squares)
        gap.append(np.abs(middle - ends).max(axis=1))
    return np.concatenate(bounding), np.concatenate(gap)


def smallest_kappa(bounding: np.ndarray, gap: np.ndarray, share: float = 1.0) -> float:
    """Finds the least kappa with gap <= kappa / 2 * bounding (P2) for `share` of the pairs.

    Pairs where `bounding`, lambda (1 - lambda) |x - x'|^2, is 0 have no gap.
    """
    some = bounding > 0
    ratios = 2 * gap[some] / bounding[some]
    return float(np.quantile(ratios, share, method="inverted_cdf"))


def draw(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], what: str) -> Figure:
    """Draws a dot per pair, and the smallest kappa for all and for 99 % of the pairs.

    Each of the panels has lambda (1 - lambda) |x - x'|^2 and gap, [n] each.
    """
    title = "Proposition 1: interpolation gap of class probabilities, random pairs of images"
    made, grid = style.panels(f"{title}\n{what}", len(panels), 3.8, sharex=True, sharey=True)
    right = max(bounding.max() for bounding, _ in panels.values())
    for axes, (name, (bounding, gap)) in zip(grid, panels.items(), strict=True):
        axes.plot(bounding, gap, ".", color=style.COLOURS[0], markersize=2, alpha=0.5)
        for number, share in enumerate((1.0, TYPICAL), 1):
            kappa = smallest_kappa(bounding, gap, share)
            whose = "all" if share == 1 else f"{share:.0%} of"
            label = f"kappa = {kappa:.3g} bounds {whose} pairs"
            axes.plot([0, right], [0, kappa / 2 * right], **style.line(number), label=label)
        axes.set(title=name, xlabel="lambda (1 - lambda) |x - x'|²", ylabel="gap")
        axes.set_ylim(0, 1.05)
        axes.title.set_fontsize("small")
        axes.legend(fontsize="small", loc="upper right", framealpha=1)
    return made
