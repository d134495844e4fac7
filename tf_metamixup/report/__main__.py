"""`python -m tf_metamixup.report RUNS_DIR...`: Markdown of runs and the paper's numbers.

One line per row of results, averaged over seeds; with --table=N one of the paper's tables, 1 to 5,
with what is missing in it; with --against=POLICY all rows, paired by seed, against the one of that
policy or name. Errors are those of the last epoch, mean ± sample standard deviation over seeds.

--keep=DIR also writes what was read to DIR/results.jsonl, which is read like the runs it came from.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from tf_metamixup import cli
from tf_metamixup.config import FREE
from tf_metamixup.config.defaults import BY_MODE
from tf_metamixup.core import extras, markdown
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution.startup import start_tensorflow
from tf_metamixup.report import paper
from tf_metamixup.runs import results
from tf_metamixup.runs.results import Row


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Formats a line for each set of settings that differ in no more than the seed.

    A column that is empty in all lines is left out. Lines that look the same name the settings in
    which they differ. Within a data set the best comes first. Cells with fewer seeds than the
    fullest line, with runs that are not finished, or with other steps than most lines of the data
    set are marked, and so is a number of the paper whose protocol was another.
    """
    ordered = sorted(results.rows(runs), key=lambda row: (_dataset(row), np.mean(row.errors)))
    alike = defaultdict(list)
    for row in ordered:
        alike[_identity(row)].append(row.first["config"])
    most_seeds = max(len(row.seeds) for row in ordered)
    tested = all(results.reported_error(row.first)[0] == "test" for row in ordered)
    lines = []
    for row in ordered:
        others = [_steps(other) for other in ordered if _dataset(other) == _dataset(row)]
        usual = max(others, key=others.count)
        first, seeds = row.first, row.seeds.values()
        mode, labels = first["config"].get("mode"), first["labels_used"]
        last = [result["history"][-1] if result["history"] else {} for result in seeds]
        top5 = [r["test_error_top5"] for r in seeds if r.get("test_error_top5") is not None]
        unfinished = any(result["status"] != "finished" for result in seeds)
        cells = {
            "data set": _dataset(row),
            "architecture": f"`{first['config'].get('architecture', 'own model')}`",
            "row": paper.display_name(mode, first["method"], first["policy"]) or "",
            "method": f"`{first['method']}`",
            "policy": f"`{first['policy']}`",
            "labels used": "" if labels is None else str(labels),
            "steps": _steps(row) + _mark(_steps(row) != usual, "others: " + usual),
            "differs in": ", ".join(
                f"{name}={first['config'].get(name)}"
                for name in results.differing(alike[_identity(row)])
            ),
            "test error %" if tested else "error %": mean_and_std(row.errors),
            "top-5 %": mean_and_std(top5),
            "paper": _paper(first["config"]),
            "seeds": str(len(seeds))
            + _mark(len(seeds) < most_seeds, f"of {most_seeds}")
            + _mark(unfinished, "not finished"),
            "accepted": _mean([entry.get("accepted") for entry in last]),
            "wrong of accepted %": _mean([entry.get("pseudo_label_error") for entry in last]),
        }
        lines.append(cells)
    shown = [name for name in lines[0] if any(cells[name] for cells in lines)]
    return markdown.table(shown, [[cells[name] for name in shown] for cells in lines])


def paper_table(number: int, runs: list[dict[str, Any]]) -> str:
    """Formats table `number`: our error, its number of seeds and the paper's in each cell."""
    cells = [cell for cell in paper.cells() if cell.table == number]
    finished = [r for r in runs if r["status"] == "finished" and not departures(r["config"])]
    columns = list(dict.fromkeys(cell.column for cell in cells))
    lines, missing = [], 0
    for row in dict.fromkeys(cell.row for cell in cells):
        texts = {column: "" for column in columns}
        for cell in (cell for cell in cells if cell.row == row):
            errors = [
                result[cell.metric]
                for result in finished
                if paper.belongs(result["config"], cell) and result.get(cell.metric) is not None
            ]
            missing += not errors
            ours = f"{mean_and_std(errors)} ({len(errors)})" if errors else "missing"
            texts[cell.column] = f"{ours}; paper {stated(cell)}"
        lines.append([row, *texts.values()])
    caption = f"{missing} of {len(cells)} cells are missing. In brackets: number of seeds."
    return f"{markdown.table(['row', *columns], lines)}\n\n{caption}"


def stated(cell: paper.Cell) -> str:
    """Returns the paper's number."""
    return f"{cell.error:.2f}" + (f" ± {cell.spread:.2f}" if cell.spread is not None else "")


def departures(config: dict[str, Any]) -> dict[str, Any]:
    """Returns settings of a run that are not those of the paper's protocol (section IV.B)."""
    if config.get("mode") not in BY_MODE:
        return {"mode": None}
    protocol = results.DEFAULTS | BY_MODE[config["mode"]]
    chosen = {"dataset", "mode", "method", "policy", "architecture", "num_labels", "flip"}
    chosen.add("warmup_steps")  # IV.B is silent, and its default depends on the architecture
    if config.get("dataset") == "imagenet2012" and config.get("image_size") is not None:
        protocol["image_size"] = 100  # as it is where nothing else is asked for
    return {
        name: config[name]
        for name in protocol.keys() - FREE - chosen
        if name in config and config[name] != protocol[name]
    }


def _paper(config: dict[str, Any]) -> str:
    found = [cell for cell in paper.cells() if paper.belongs(config, cell)]
    numbers = " / ".join(dict.fromkeys(stated(cell) for cell in found))
    other = departures(config)
    text = ", ".join(f"{name}={value}" for name, value in sorted(other.items()))
    return numbers + _mark(bool(found and other), f"here {text}")


def _identity(row: Row) -> tuple:
    """Returns what the other columns tell of a row."""
    first = row.first
    shown = first["config"].get("architecture"), first["method"], first["policy"]
    return _dataset(row), *shown, first["labels_used"], _steps(row)


def _dataset(row: Row) -> str:
    return row.data if row.evaluated_on == "test images" else f"{row.data}, {row.evaluated_on}"


def _steps(row: Row) -> str:
    steps = sorted({result["steps"] for result in row.seeds.values()})
    return " or ".join(map(str, steps))


def _mark(wanted: bool, text: str) -> str:
    return f" ({text})" if wanted else ""


def mean_and_std(values: list[float]) -> str:
    """Returns mean ± sample standard deviation; the value itself where there is one."""
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else ""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f}" if known else ""


class Arguments(NamedTuple):
    """Holds what a command line asks for."""

    folders: list[str]
    table: int | None
    against: str | None
    keep: str | None


def _report(runs: list[dict[str, Any]], args: Arguments) -> str:
    if args.against is None:
        return table(runs) if args.table is None else paper_table(args.table, runs)
    # Here, since a policy's spelling needs TensorFlow, which a table does not.
    start_tensorflow()
    with extras.needed("figures"):
        from tf_metamixup.report import comparison

    return comparison.against(args.against, runs)


def parse(argv: list[str]) -> Arguments:
    """Parses a command line; `--help` and `--version` print and exit."""
    values = flags.FlagValues()
    common = {"flag_values": values, "module_name": "report"}
    flags.DEFINE_integer("table", None, "one of the paper's tables", 1, 5, **common)
    flags.DEFINE_string("against", None, "policy or name of the row to compare with", **common)
    flags.DEFINE_string("keep", None, "folder that results.jsonl goes to", **common)
    folders = cli.read_flags(values, argv, __doc__, operands=True)
    if None not in (values.table, values.against):
        raise UserError("--table and --against are two reports: give one of them")
    if not folders:
        usage = "python -m tf_metamixup.report RUNS_DIR... [--table=N | --against=POLICY]"
        raise UserError(cli.as_typed(f"no runs; usage: {usage} [--keep=DIR]", argv))
    return Arguments(folders, values.table, values.against, values.keep)


def run(args: Arguments) -> None:
    """Prints the table.

    Raises:
        UserError: there are no results, or they cannot be compared or kept.
    """
    found = results.read(args.folders)
    if not found:
        raise UserError(f"no result with an error below {', '.join(args.folders)}")
    rows = results.rows(found)
    if any("dataset" not in row.first["config"] and len(row.seeds) > 1 for row in rows):
        print(
            "note: own data without a name is identified by its test images alone; "
            "Trainer.fit(..., dataset='NAME') names it",
            file=sys.stderr,
        )
    print(_report(found, args))
    if args.keep is not None:
        results.keep(found, args.keep)


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    return cli.exit_code(lambda: parse(argv), run)


if __name__ == "__main__":
    cli.execute(main)
