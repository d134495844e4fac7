"""Figure 6: how often each lambda is used."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tf_metamixup.figures import style
from tf_metamixup.figures.runs import Run, by_row, check_alike, seeds, subject


def figure(runs: Sequence[Run]) -> Figure:
    """Draws lambda over all epochs and seeds of a row; see `draw`."""
    check_alike(runs)
    # Those before learning come last, so that rows keep their colours from figure to figure.
    counts, starts = {}, {}
    for row, own in by_row(runs).items():
        name = f"{row}, {seeds(own)}"
        before, after = (
            np.sum([run.lambdas[when].sum(axis=0) for run in own], axis=0)
            for when in ("before", "after")
        )
        if (before != after).any():
            starts[f"{name}, before learning"] = before
        counts[name] = after
    return draw(runs[0].lambdas["edges"], counts | starts, subject(runs))


def draw(edges: np.ndarray, counts: Mapping[str, np.ndarray], what: str) -> Figure:
    """Draws one outline per row: the share of its `counts` [bins] between `edges` [bins + 1]."""
    made = style.new(f"Relative frequency of lambda over the whole run\n{what}")
    axes = made.subplots()
    for number, (name, values) in enumerate(counts.items()):
        shares = values / values.sum()
        axes.stairs(shares, edges, baseline=None, **style.line(number), linewidth=1.5, label=name)
    axes.set(xlabel="lambda", ylabel=f"share of pairs (bins of {edges[1] - edges[0]:.2g})")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return made
