"""Figure 2: the training loss of MixUp and of MetaMixUp."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.special import entr

from tf_metamixup.figures import style
from tf_metamixup.figures.runs import COMPARED, Run, by_row, check_alike, seeds, subject

CONSTANT = 1e-6  # a lambda with less spread is the same for all pairs


def figure(runs: Sequence[Run]) -> Figure:
    """Curves of the runs' histories; see `draw`."""
    check_alike(runs, COMPARED)
    rows = by_row(runs)
    losses = {
        f"{row}, {seeds(own)}": np.stack([run.curve("train_loss") for run in own])
        for row, own in rows.items()
    }
    floors = None
    if all(run.mixes_labelled_images for run in runs):
        floors = {
            name: np.stack([_floor(run) for run in own])
            for name, own in zip(losses, rows.values(), strict=True)
        }
    return draw(losses, floors, subject(runs))


def _floor(run: Run) -> np.ndarray:
    counts = run.lambdas["pair_count"].sum(axis=0)
    different = 1 - np.trace(counts) / counts.sum()
    if run.curve("lambda_std").max() < CONSTANT:
        # Known better than to half a bin, which at lambda = 1 is the whole entropy.
        return different * _entropy(run.curve("lambda_mean"))
    return floor(run.lambdas["edges"], run.lambdas["after"], different)


def floor(edges: np.ndarray, counts: np.ndarray, different: float) -> np.ndarray:
    """The mean entropy of mixed targets, [epochs]: no network has a lower cross-entropy.

    Args:
        edges: of the histogram of lambda, [bins + 1].
        counts: of lambda, [epochs, bins]; each is taken to lie in the middle of its bin.
        different: the share of pairs of two classes; the others have no entropy.
    """
    entropy = _entropy((edges[1:] + edges[:-1]) / 2)
    return different * (counts @ entropy) / counts.sum(axis=1)


def _entropy(lam: np.ndarray) -> np.ndarray:
    return entr(lam) + entr(1 - lam)


def draw(
    losses: Mapping[str, np.ndarray], floors: Mapping[str, np.ndarray] | None, what: str
) -> Figure:
    """Mean over seeds, and in a lighter colour the range; beside it what is left above the floor.

    Args:
        losses: [seeds, epochs] by row.
        floors: the entropy of the mixed targets, likewise; without it there is one panel.
        what: is trained, for the title.
    """
    made = style.new(f"Training loss on mixed images by epoch\n{what}")
    left, *right = made.subplots(1, 1 if floors is None else 2, squeeze=False)[0]
    for number, (name, values) in enumerate(losses.items()):
        _curve(left, number, values, name)
        if floors is not None:
            # Pale: the floor of the curve of the same colour.
            left.plot(*_mean(floors[name]), **style.line(number), alpha=0.4, linewidth=1)
            _curve(right[0], number, values - floors[name], name)
    left.set(title="cross-entropy; pale: entropy of its targets", ylabel="loss, nats")
    for axes in right:
        axes.set(title="the same without the entropy of its targets")
    for axes in (left, *right):
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.title.set_fontsize("small")
    left.legend(fontsize="small")
    return made


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(1, values.shape[1] + 1), values.mean(axis=0)


def _curve(axes, number: int, values: np.ndarray, name: str) -> None:
    epochs, mean = _mean(values)
    axes.plot(epochs, mean, **style.line(number), label=name)
    if len(values) > 1:
        axes.fill_between(
            epochs, values.min(0), values.max(0), color=style.COLOURS[number], alpha=0.15
        )
