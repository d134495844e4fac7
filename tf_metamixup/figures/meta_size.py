"""Figure 3: error against the size of the meta set."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tf_metamixup.core.errors import UserError
from tf_metamixup.figures import style
from tf_metamixup.figures.runs import COMPARED, Run, by_row, check_alike, subject
from tf_metamixup.runs import results


def figure(runs: Sequence[Run]) -> Figure:
    """Draws last errors by `num_meta`, a curve per data set and row; see `draw`.

    Raises:
        UserError: runs of a data set that differ in more than num_meta, row and seed; no error.
    """
    curves: dict[str, dict[int, list[float]]] = {}
    parts = set()
    datasets = sorted({str(run.config.get("dataset")) for run in runs})
    for dataset in datasets:
        chosen = [run for run in runs if str(run.config.get("dataset")) == dataset]
        check_alike(chosen, ("num_meta", *COMPARED))
        for row, own in by_row(chosen).items():
            name = f"{row}, {subject(own)}"
            for run in own:
                size, (part, error) = run.config.get("num_meta"), results.reported_error(run.result)
                if size is None or error is None:
                    raise UserError(
                        f"{run.folder} records no num_meta or no error; figure 3 needs runs of "
                        "`python -m tf_metamixup.main --num_meta=N`"
                    )
                parts.add(part)
                curves.setdefault(name, {}).setdefault(size, []).append(error)
    sizes = {size for curve in curves.values() for size in curve}
    if len(sizes) < 2:
        raise UserError(
            f"all runs have num_meta={sizes.pop()}; figure 3 needs meta sets of several sizes: "
            "bash launch/figure3.sh prints the commands"
        )
    return draw(curves, f"{' or '.join(sorted(parts))} error")


def draw(curves: Mapping[str, Mapping[int, Sequence[float]]], what: str) -> Figure:
    """Draws curves of errors by size of the meta set: mean, deviation, each seed as a cross.

    `what` names the errors, such as "test error".
    """
    made = style.new(f"{what.capitalize()} by size of the meta set")
    axes = made.subplots()
    sizes = sorted({size for curve in curves.values() for size in curve})
    for number, (name, curve) in enumerate(curves.items()):
        own = sorted(curve)
        errors = [np.asarray(curve[size], float) for size in own]
        means = [each.mean() for each in errors]
        spreads = [each.std(ddof=1) if len(each) > 1 else 0.0 for each in errors]
        count = " or ".join(str(n) for n in sorted({len(each) for each in errors}))
        label = f"{name}\nmean ± standard deviation over {count} seeds"
        axes.errorbar(own, means, spreads, **style.line(number), marker="o", capsize=4, label=label)
        for size, each in zip(own, errors, strict=True):
            axes.plot([size] * len(each), each, "x", color=style.line(number)["color"], alpha=0.6)
    axes.set(xscale="log", xlabel="images in the meta set", ylabel=f"{what}, %")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return made
