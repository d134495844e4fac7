"""`python -m tf_metamixup.figures --figure=N --out=DIR RUNS...`: the paper's figures from runs.

RUNS are run directories of finished runs, or folders that hold them.

  --figure=2            training loss by epoch, MixUp against MetaMixUp
  --figure=3            error against the size of the meta set
  --figure=4            evaluated images in the features of networks that have two
  --figure=5            distance of mixed images to real images of other classes
  --figure=6            relative frequency of lambda
  --figure=7            mean lambda by class pair, at --epochs
  --figure=proposition1 interpolation gap against lambda (1 - lambda) |x - x'|^2

Seeds are taken together. `bash launch/figure2.sh` to `figure7.sh` and `proposition1.sh` print the
commands of the paper's runs. 4, 5 and proposition1 need the run's data and checkpoints.
"""

import importlib
from typing import NamedTuple

from absl import flags

from tf_metamixup import cli
from tf_metamixup.core import extras
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution.startup import start_tensorflow

# The module of each figure.
MAKERS = {
    **{"2": "loss", "3": "meta_size", "4": "features", "5": "intrusion"},
    **{"6": "histogram", "7": "class_pairs", "proposition1": "smoothness"},
}
REBUILDING = ("4", "5", "proposition1")
FORMATS = ("png", "svg")


class Arguments(NamedTuple):
    """Holds what a command line asks for."""

    figure: str  # one of MAKERS
    out: str  # the folder that it goes to
    formats: list[str]  # some of FORMATS
    # Of figure 7, first and last of each panel; None for the quarters of the run.
    epochs: list[tuple[int, int]] | None
    data_dir: str | None  # where TFDS data lies now; None for where it lay
    runs: list[str]  # run directories, or folders that hold them


def parse(argv: list[str]) -> Arguments:
    """Parses a command line; `--help` prints and exits."""
    values = flags.FlagValues()
    common = {"flag_values": values, "module_name": "figures"}
    flags.DEFINE_enum("figure", None, list(MAKERS), "which", **common)
    flags.DEFINE_string("out", None, "folder for figureN.png and the like", **common)
    flags.DEFINE_list("format", "png,svg", "png, svg or both", **common)
    flags.DEFINE_list("epochs", None, "of figure 7, such as 3,30,90,120 or 1-20,41-60", **common)
    flags.DEFINE_string("data_dir", None, "where the TFDS data is now, if it has moved", **common)
    runs = cli.read_flags(values, argv, __doc__, operands=True)
    spans = _spans(values.epochs)
    args = Arguments(values.figure, values.out, values.format, spans, values.data_dir, runs)
    for name, value in (("figure", args.figure), ("out", args.out), ("format", args.formats)):
        if not value:
            raise UserError(f"--{name} is missing; --help shows a whole command")
    if wrong := [ending for ending in args.formats if ending not in FORMATS]:
        raise UserError(f"--format={wrong[0]} must be one or both of {', '.join(FORMATS)}")
    if args.epochs and args.figure != "7":
        raise UserError(f"--epochs goes with --figure=7, not {args.figure}")
    if args.data_dir and args.figure not in REBUILDING:
        raise UserError(f"--data_dir goes with figures that read images: {', '.join(REBUILDING)}")
    if not runs:
        raise UserError("no runs: name one or more run directories of finished runs")
    return args


def _spans(texts: list[str] | None) -> list[tuple[int, int]] | None:
    if texts is None:
        return None
    spans = []
    for text in texts:
        first, _, last = text.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise UserError(f"--epochs={text} must be numbers or ranges, such as 3,30,90 or 1-20")
        spans.append((int(first), int(last or first)))
        if not 1 <= spans[-1][0] <= spans[-1][1]:
            raise UserError(f"--epochs={text} must be an epoch from 1, or a range that ascends")
    return spans


def make(args: Arguments) -> list[str]:
    """Draws and writes the figure; returns the paths of the files.

    Raises:
        UserError: the runs do not have what it shows, or cannot be compared.
    """
    with extras.needed("figures"):
        from tf_metamixup.figures import runs, style

        maker = importlib.import_module(f"tf_metamixup.figures.{MAKERS[args.figure]}")
    given = runs.read(args.runs, args.data_dir)
    options = {"epochs": args.epochs} if args.figure == "7" else {}
    made = maker.figure(given, **options)
    name = args.figure if args.figure.startswith("prop") else f"figure{args.figure}"
    return style.save(made, args.out, name, args.formats)


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""

    def draw(args: Arguments) -> None:
        start_tensorflow()
        for path in make(args):
            print(path)

    return cli.exit_code(lambda: parse(argv), draw)


if __name__ == "__main__":
    cli.execute(main)
