"""Figure 7: the mean of the learned lambda by the classes of the two images."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import chi2

from tf_metamixup.core.errors import UserError
from tf_metamixup.figures import style
from tf_metamixup.figures.runs import Run, check_alike, check_lengths, seeds, subject

PANELS = 4
# Diverging, and distinguishable with any colour vision; its middle is lambda = 1/2.
COLOURS = "PuOr"


class Pairs(NamedTuple):
    """Holds lambda over some epochs, by (class of x_i, class of x_j)."""

    total: np.ndarray  # sum of lambda, [C, C]
    count: np.ndarray  # number of pairs, [C, C]
    spread: float  # standard deviation of lambda over all pairs

    @property
    def mean(self) -> np.ndarray:
        """Returns mean lambda, [C, C]; not a number where there is no pair."""
        return np.divide(
            self.total, self.count, out=np.full(self.total.shape, np.nan), where=self.count > 0
        )

    @property
    def chance(self) -> float:
        """Computes P that cells differ as much as these if classes did not matter (chi-squared).

        Under that hypothesis a cell's mean lies about the mean of all with the variance of lambda
        over the cell's count. It takes lambdas for independent; an image that has its own effect
        comes back every epoch, so a small value is no proof that it is the class.
        """
        some = self.count > 0
        mean = self.total.sum() / self.count.sum()
        deviations = self.count[some] * (self.mean[some] - mean) ** 2 / self.spread**2
        return float(chi2.sf(deviations.sum(), some.sum() - 1))


def figure(runs: Sequence[Run], epochs: Sequence[tuple[int, int]] | None = None) -> Figure:
    """Draws the class pairs of some epochs; see `draw`.

    Args:
        runs: seeds of one row.
        epochs: first and last of each panel, from 1; by default the four quarters of the run until
            mixing stops, since one epoch of a small data set has few pairs a cell.

    Raises:
        UserError: an epoch that the runs do not have; a lambda that has no spread.
    """
    check_alike(runs, ())
    check_lengths(runs)
    known = runs[0].lambdas["pair_epochs"].tolist()
    if epochs is None:
        last = runs[0].config.get("epochs", known[-1])
        mixed = [epoch for epoch in known if epoch / last <= runs[0].mix_until] or known
        quarters = np.array_split(mixed, min(PANELS, len(mixed)))
        epochs = [(int(quarter[0]), int(quarter[-1])) for quarter in quarters]
    if missing := [epoch for span in epochs for epoch in span if epoch not in known]:
        raise UserError(
            f"--epochs={missing[0]}: {runs[0].folder} keeps lambda by class pair of epochs "
            f"{known[0]} to {known[-1]}"
        )
    panels = {
        f"epoch {first}" if first == last else f"epochs {first} to {last}": _pairs(
            runs, slice(first - 1, last), slice(known.index(first), known.index(last) + 1)
        )
        for first, last in epochs
    }
    if not all(pairs.spread > 0 for pairs in panels.values()):
        raise UserError(
            f"lambda is the same for all pairs of {runs[0].row} in these epochs; figure 7 is of "
            "runs that learn it or draw it, until mixing stops (--mix_until)"
        )
    return draw(panels, f"{runs[0].row}, {seeds(runs)}, {subject(runs)}")


def _pairs(runs: Sequence[Run], entries: slice, kept: slice) -> Pairs:
    total, count = (
        np.sum([run.lambdas[name][kept].sum(axis=0) for run in runs], axis=0)
        for name in ("pair_sum", "pair_count")
    )
    variances = [run.curve("lambda_std")[entries] ** 2 for run in runs]
    return Pairs(total, count, float(np.sqrt(np.mean(variances))))


def draw(panels: Mapping[str, Pairs], what: str) -> Figure:
    """Draws panels side by side: bars in three dimensions, as in the paper, above a heat map."""
    made = style.new(f"Mean lambda by class pair\n{what}", 3.1 * len(panels) + 0.8, 7)
    grid = made.add_gridspec(2, len(panels), height_ratios=[1.15, 1])
    reach = max(np.nanmax(np.abs(pairs.mean - 0.5)) for pairs in panels.values())
    low, high = 0.5 - reach, 0.5 + reach
    maps = []
    for column, (name, pairs) in enumerate(panels.items()):
        solid = made.add_subplot(grid[0, column], projection="3d")
        _bars(solid, pairs.mean, low, high)
        solid.set_title(name, fontsize="medium")
        flat = made.add_subplot(grid[1, column])
        shown = flat.imshow(pairs.mean, cmap=COLOURS, vmin=low, vmax=high, origin="lower")
        flat.set(xlabel="class of x_j", ylabel="class of x_i")
        per_cell = pairs.count.sum() / np.count_nonzero(pairs.count)
        flat.set_title(f"{per_cell:.0f} pairs a cell; p = {pairs.chance:.2g}", fontsize="small")
        maps.append(flat)
    made.colorbar(shown, ax=maps, label="mean lambda (x_i's share)")
    made.supxlabel(
        "p: how likely cells differ as much\nif classes did not matter (chi-squared)",
        fontsize="small",
    )
    return made


def _bars(axes, mean: np.ndarray, low: float, high: float) -> None:
    first, second = np.indices(mean.shape)
    known = np.isfinite(mean)
    heights = mean[known]
    colours = matplotlib.colormaps[COLOURS]((heights - low) / (high - low))
    places = second[known] - 0.4, first[known] - 0.4, np.full(heights.shape, low)
    axes.bar3d(*places, 0.8, 0.8, heights - low, color=colours, shade=True)
    every = range(0, len(mean), max(1, len(mean) // 5))
    axes.set(xticks=every, yticks=every, zlim=(low, high))
    axes.set_xlabel("class of x_j", fontsize="small", labelpad=-4)
    axes.set_ylabel("class of x_i", fontsize="small", labelpad=-4)
    axes.tick_params(labelsize="x-small", pad=-2)
    axes.set_box_aspect((1, 1, 0.8), zoom=0.9)
