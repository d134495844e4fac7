"""What TensorBoard shows as images: plain arrays -> uint8 [height, width, 3].

Small, since they are drawn while a run waits: every function takes a fraction of a second. Colours
can be distinguished with any colour vision, and nothing is said by colour alone.
"""

import contextlib
from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from tf_metamixup.runs import fonts

# More classes than these have no room for numbers, or for names.
NUMBERED, NAMED = 20, 30
LETTERS = 14  # of a class name
DOTS_PER_INCH = 90
# Diverging: its middle is the mean of all.
AROUND_THE_MEAN = "PuOr"
SHARES = "Blues"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#BBBBBB"
COLUMNS = 4  # of the grid of mixed rows
IMAGE_SIDE, CAPTION, GAP = 72, 34, 4  # pixels in it


def class_pairs(total: np.ndarray, count: np.ndarray, names: Sequence[str]) -> np.ndarray | None:
    """Draws mean lambda by class pair, on a scale around the mean; None without any pair.

    `total` and `count` are sum of lambda and number of pairs by (class of x_i, of x_j), [C, C].
    """
    if not count.sum():
        return None
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    middle = total.sum() / count.sum()
    reach = max(np.nanmax(np.abs(mean - middle)), 1e-3)
    title = (
        f"Mean lambda by class pair: {middle:.3f} in all, pairs {np.nanmin(mean):.3f} to "
        f"{np.nanmax(mean):.3f}\n{count.sum() / np.count_nonzero(count):.0f} mixed rows a cell; "
        "grey: no such pair"
    )
    colours = {"cmap": AROUND_THE_MEAN, "norm": Normalize(middle - reach, middle + reach)}
    labels = "class of x_i", "class of x_j", "mean lambda (x_i's share)"
    return _heat_map(names, title, labels, mean, colours, mean, "{:.2f}")


def confusion(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws numbers of test images [C, C], coloured by their share of the true class, the row."""
    images = matrix.sum()
    error = 100 * (1 - np.trace(matrix) / images)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    some = np.where(matrix > 0, matrix, np.nan)
    title = (
        f"Confusion matrix of {images:.0f} images, error {error:.2f} %\n"
        "off the diagonal: classified wrongly"
    )
    # The few that are confused are what one looks for.
    colours = {"cmap": SHARES, "norm": PowerNorm(0.5, 0, 1)}
    labels = "true class", "predicted class", "share of the true class"
    return _heat_map(names, title, labels, share, colours, some, "{:.0f}")


def reliability(bins: np.ndarray, ece: float) -> np.ndarray:
    """Draws accuracy against confidence, and how many images have which confidence.

    `bins` are those of an `Evaluation`, and `ece` is its calibration error in percent.
    """
    count, confidence, right = bins.T
    some = count > 0
    edges = np.linspace(0, 1, len(bins) + 1)
    accuracy, confident = right[some] / count[some], confidence[some] / count[some]
    over = confidence.sum() > right.sum()
    with _plain_text():
        figure = Figure(figsize=(4.6, 5), dpi=DOTS_PER_INCH, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        width, met = edges[1], "at their mean confidence"
        left = edges[:-1][some]
        drawn = {"align": "edge", "color": BLUE, "edgecolor": "white"}
        above.bar(left, accuracy, width, label="hits", **drawn)
        above.plot([0, 1], [0, 1], "--", color="black", label="calibrated")
        above.plot(confident, accuracy, "o", color=ORANGE, markeredgecolor="black", label=met)
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
        below.bar(edges[:-1], count / count.sum(), width, align="edge", color=GREY, edgecolor="k")
        below.set(xlabel="confidence: probability of the predicted class", ylabel="share of images")
        figure.suptitle(
            f"Reliability: expected calibration error {ece:.2f} %\n"
            f"mean confidence {100 * confidence.sum() / count.sum():.1f} %, accuracy "
            f"{100 * right.sum() / count.sum():.1f} %: {'over' if over else 'under'}confident",
            fontsize="medium",
        )
        return _pixels(figure)


def mixed_rows(sample, probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws a grid: x_i, x_j, their mixture, lambda, both labels and the prediction.

    The sample is a `mixing.Sample` of arrays, whose lowest pixel is drawn black; the probabilities
    are those of the classes for the mixed images, [n, C].
    """
    triples = _triples((sample.x_i, sample.x_j, sample.x))
    count, height, width, _ = triples.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    cell, wide = height + CAPTION, width + 4 * GAP
    grid = np.ones((rows * cell + CAPTION, columns * wide, 3), np.float32)
    with _plain_text(names) as names:
        size = columns * wide / DOTS_PER_INCH, len(grid) / DOTS_PER_INCH
        figure = Figure(figsize=size, dpi=DOTS_PER_INCH)
        written = {"fontsize": 7, "va": "bottom", "transform": None}
        figure.text(
            *(2 * GAP, len(grid) - CAPTION + GAP),
            "x_i, x_j and their mixture, which the last step trained on: lambda of x_i + the rest "
            "of x_j;\nwhat the network says of it now. ~: guessed label; rejected: not trained on",
            **written | {"fontsize": 8},
        )
        for number, triple in enumerate(triples):
            row, column = divmod(number, columns)
            top, left = CAPTION + row * cell + CAPTION, column * wide + 2 * GAP
            grid[top : top + height, left : left + width] = triple
            mark = "~" if sample.guessed[number] else ""
            targets = sample.y_i[number], sample.y_j[number]
            i, j = (mark + _short(names[y.argmax()]) for y in targets)
            share = sample.lam[number]
            caption = f"{share:.2f} of {i} + {1 - share:.2f} of {j}"
            if not sample.accepted[number]:
                caption = f"rejected {i}"
            likely = np.argsort(-probabilities[number], kind="stable")[:2]
            says = (f"{_short(names[c])}: {100 * probabilities[number, c]:.0f} %" for c in likely)
            place = left, len(grid) - top + GAP
            figure.text(*place, f"{caption}\nsays {', '.join(says)}", **written)
        figure.figimage(grid, 0, 0)
        return _pixels(figure)


def _triples(images: Sequence[np.ndarray]) -> np.ndarray:
    """Joins images [n, H, W, C] side by side, about as large as `IMAGE_SIDE`, from 0 to 1."""
    images = [np.asarray(each, np.float32) for each in images]
    low, high = min(each.min() for each in images), max(each.max() for each in images)
    side = max(images[0].shape[1:3])
    less, more = max(1, side // IMAGE_SIDE), max(1, round(IMAGE_SIDE / side))
    scaled = []
    for each in images:
        each = (each[:, ::less, ::less] - low) / max(high - low, 1e-6)
        each = each.repeat(more, axis=1).repeat(more, axis=2)
        # Of two channels the first is drawn.
        each = each[..., :1].repeat(3, axis=-1) if each.shape[-1] < 3 else each[..., :3]
        scaled += [each, np.ones_like(each[:, :, :GAP])]
    return np.concatenate(scaled[:-1], axis=2)


@contextlib.contextmanager
def _plain_text(names: Sequence[str] = ()) -> Iterator[list[str]]:
    """Yields class names as they can be drawn; matplotlib takes none of them for a formula."""
    names = fonts.class_names(names)
    options = {"text.parse_math": False, "font.family": fonts.families(names)}
    with matplotlib.rc_context(options):
        yield names


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"


def _heat_map(names, title: str, labels, values, colours, written, form: str) -> np.ndarray:
    """Draws `values` [C, C] as colours, and what is `written` into the cells.

    The labels are those of rows, columns and colours.
    """
    with _plain_text(names) as names:
        side = 3.4 + 0.28 * min(max(len(names), 6), 12)
        figure = Figure(figsize=(side + 0.8, side), dpi=DOTS_PER_INCH, layout="constrained")
        figure.suptitle(title, fontsize="medium")
        axes = figure.add_subplot(facecolor=GREY)
        axes.set(ylabel=labels[0], xlabel=labels[1])
        shown = axes.imshow(values, **colours)
        figure.colorbar(shown, ax=axes, label=labels[2], shrink=0.8)
        if len(names) <= NAMED:
            short = [_short(name) for name in names]
            places = range(len(names))
            axes.set_yticks(places, short, fontsize="x-small")
            upright = max(map(len, short)) > 2
            axes.set_xticks(places, short, fontsize="x-small", rotation=90 if upright else 0)
        if len(names) <= NUMBERED:
            _write(axes, written, form, shown.to_rgba(values))
        return _pixels(figure)


def _write(axes, values: np.ndarray, form: str, colours: np.ndarray) -> None:
    dark = colours[..., :3] @ [0.299, 0.587, 0.114] < 0.5
    size = "x-small" if len(values) <= 10 else 5
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if dark[row, column] else "black"
            text = axes.text(column, row, form.format(value), color=ink, size=size)
            text.set(ha="center", va="center", in_layout=False)  # measuring each takes long


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
