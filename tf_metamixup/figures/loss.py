"""Figure 2: the training loss of MixUp and of MetaMixUp."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tf_metamixup.figures import style
from tf_metamixup.figures.runs import Run, by_row, check_alike, check_lengths, seeds, subject
from tf_metamixup.runs.history import MIXING_ENTROPY


def figure(runs: Sequence[Run]) -> Figure:
    """Draws the curves of the runs' histories; see `draw`."""
    check_alike(runs)
    check_lengths(runs)
    rows = by_row(runs)

    def curves(name: str) -> dict[str, np.ndarray]:
        return {
            f"{row}, {seeds(own)}": np.stack([run.curve(name) for run in own])
            for row, own in rows.items()
        }

    floors = None
    if all(run.mixes_labelled_images for run in runs):
        if old := [
            run
            for run in runs
            if any(MIXING_ENTROPY not in entry for entry in run.result["history"])
        ]:
            warnings.warn(
                f"{old[0].folder} is of a version that did not record the entropy of the mixed "
                "targets, which is left out; train it again in a new --run_dir to see it",
                stacklevel=2,
            )
        elif smoothing := runs[0].config.get("label_smoothing"):
            warnings.warn(
                f"these runs have --label_smoothing={smoothing}, and the recorded entropy of the "
                "mixed targets is that before smoothing: it is left out",
                stacklevel=2,
            )
        else:
            floors = curves(MIXING_ENTROPY)
    return draw(curves("train_loss"), floors, subject(runs))


def draw(
    losses: Mapping[str, np.ndarray], floors: Mapping[str, np.ndarray] | None, what: str
) -> Figure:
    """Draws mean and range over seeds, and beside it what is left above the floor.

    Losses are [seeds, epochs] by row, and floors the entropy of the mixed targets, likewise;
    without it there is one panel.
    """
    made = style.new(f"Training loss on mixed images by epoch\n{what}")
    left, *right = made.subplots(1, 1 if floors is None else 2, squeeze=False)[0]
    for number, (name, values) in enumerate(losses.items()):
        _curve(left, number, values, name)
        if floors is not None:
            # Pale: the floor of the curve of the same colour.
            left.plot(*_mean(floors[name]), **style.line(number), alpha=0.4, linewidth=1)
            _curve(right[0], number, values - floors[name], name)
    pale = "" if floors is None else "; pale: entropy of its targets"
    left.set(title=f"cross-entropy{pale}", ylabel="loss, nats")
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
            epochs, values.min(0), values.max(0), color=style.line(number)["color"], alpha=0.15
        )
