"""What all figures look like, and how they are written.

Colours are those of Okabe and Ito and of Paul Tol, which people with any colour vision tell apart;
no figure says anything by colour alone.
"""

import os
import pathlib
import textwrap
from collections.abc import Iterable

import matplotlib
from matplotlib.figure import Figure

from tf_metamixup.core.errors import explained
from tf_metamixup.runs import fonts

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
# Tol's "muted" scheme, and black.
CLASS_COLOURS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000"),
)
DOTS_PER_INCH = 100
CHARACTERS_AN_INCH = 11.5  # of a title


def new(title: str, width: float = 7.5, height: float = 4.0) -> Figure:
    """Makes an empty figure, in inches. It belongs to no window and no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    title = fonts.legible(title)
    lines = (textwrap.fill(each, int(CHARACTERS_AN_INCH * width)) for each in title.splitlines())
    figure.suptitle("\n".join(lines), fontsize="medium", fontfamily=fonts.families(title))
    return figure


def panels(title: str, count: int, height: float, **options) -> tuple[Figure, list]:
    """Makes a figure of `count` panels of a height, at most three side by side, and its axes."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = new(title, 4.2 * columns, height * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, **options).flatten().tolist()
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def line(number: int) -> dict[str, str]:
    """Returns colour and dashes of curve `number`."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


def save(figure: Figure, folder: str | os.PathLike, name: str, formats: Iterable[str]) -> list[str]:
    """Writes `name`.png and the like, the same bytes each time; returns their paths.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = pathlib.Path(folder).expanduser()
    written = []
    salt = matplotlib.rc_context({"svg.hashsalt": name})
    with salt, explained(f"cannot write into --out={folder}", OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for ending in formats:
            path = folder / f"{name}.{ending}"
            undated = {"Date": None} if ending == "svg" else {}
            figure.savefig(path, dpi=DOTS_PER_INCH, metadata=undated)
            written.append(str(path))
    return written
