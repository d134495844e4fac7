"""`python -m tf_metamixup.report RUNS_DIR...`: Markdown of runs and the paper's numbers.

One line a row of results, seeds taken together; with --table=N one of the paper's tables, 1 to 5,
with what is missing in it; with --against=POLICY the rows against the one with that policy, or that
this table names so, paired by seed. Errors are those of the last epoch, mean ± sample standard
deviation over seeds.

--keep=DIR also writes what was read to DIR/results.jsonl, which is read like the runs it came from.
"""

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import flags

from tf_metamixup import main as job
from tf_metamixup.config import BY_MODE, NOT_IDENTITY, Config
from tf_metamixup.core.errors import UserError
from tf_metamixup.report import paper
from tf_metamixup.runs import results

COLUMNS = (
    "data set",
    "architecture",
    "row",
    "method",
    "policy",
    "labels used",
    "steps",
    "test error %",
    "top-5 %",
    "paper",
    "seeds",
    "accepted",
    "wrong of accepted %",
)
# What a run may have its own way of and still be by the paper's protocol.
FREE = {*NOT_IDENTITY, "seed", "replicas", "row_groups"}


def table(runs: Iterable[dict[str, Any]]) -> str:
    """Markdown: a line for each set of settings that differ in no more than the seed.

    A column that is empty in all lines is left out.
    Within a data set the best comes first. Cells with fewer seeds than the fullest line, with runs
    that are not finished, or with other steps than most lines of the data set are marked, and so is
    a number of the paper whose protocol was another.
    """
    rows = defaultdict(list)
    for result in runs:
        settings = {k: v for k, v in result["config"].items() if k not in (*NOT_IDENTITY, "seed")}
        rows[json.dumps(settings, sort_keys=True)].append(result)
    ordered = sorted(rows.values(), key=lambda row: (_dataset(row), np.mean(_errors(row))))
    most_seeds = max((len(row) for row in ordered), default=0)
    lines = []
    for row in ordered:
        usual = _usual([_steps(other) for other in ordered if _dataset(other) == _dataset(row)])
        first, last = row[0], [result["history"][-1] for result in row]
        cells = [
            _dataset(row),
            f"`{first['config'].get('architecture', 'own model')}`",
            _row_name(first),
            f"`{first['method']}`",
            f"`{first['policy']}`",
            _text(first["labels_used"]),
            _steps(row) + _mark(_steps(row) != usual, "others: " + usual),
            spread(_errors(row)),
            spread([r["test_error_top5"] for r in row if r.get("test_error_top5") is not None]),
            _paper(first["config"]),
            str(len(row))
            + _mark(len(row) < most_seeds, f"of {most_seeds}")
            + _mark(any(result["status"] != "finished" for result in row), "not finished"),
            _mean([entry.get("accepted") for entry in last]),
            _mean([entry.get("pseudo_label_error") for entry in last]),
        ]
        lines.append(cells)
    shown = [n for n in range(len(COLUMNS)) if any(cells[n] for cells in lines)]
    return _markdown([[cells[n] for n in shown] for cells in (COLUMNS, *lines)])


def paper_table(number: int, runs: list[dict[str, Any]]) -> str:
    """The paper's table `number`: our error, its number of seeds and the paper's in each cell."""
    cells = [cell for cell in paper.cells() if cell.table == number]
    configs = [result["config"] for result in runs]
    columns = list(dict.fromkeys(cell.column for cell in cells))
    lines = [["row", *columns]]
    missing = 0
    for row in dict.fromkeys(cell.row for cell in cells):
        texts = {column: "" for column in columns}
        for cell in (cell for cell in cells if cell.row == row):
            own = [
                runs[n]
                for n in paper.belonging(cell, configs)
                if runs[n]["status"] == "finished" and not departures(configs[n])
            ]
            errors = [r[cell.metric] for r in own if r.get(cell.metric) is not None]
            missing += not errors
            ours = f"{spread(errors)} ({len(errors)})" if errors else "missing"
            texts[cell.column] = f"{ours}; paper {stated(cell)}"
        lines.append([row, *texts.values()])
    told = f"{missing} of {len(cells)} cells are missing. In brackets: number of seeds."
    return f"{_markdown(lines)}\n\n{told}"


def stated(cell: paper.Cell) -> str:
    """The paper's number."""
    return f"{cell.error:.2f}" + (f" ± {cell.spread:.2f}" if cell.spread is not None else "")


def departures(config: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run that are not those of the paper's protocol (section IV.B)."""
    if config.get("mode") not in BY_MODE:
        return {"mode": None}
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    protocol = defaults | BY_MODE[config["mode"]]
    chosen = {"dataset", "mode", "method", "policy", "architecture", "num_labels", "flip"}
    chosen.add("warmup_steps")  # IV.B is silent, and its default depends on the architecture
    if config.get("dataset") == "imagenet2012":
        protocol["image_size"] = 100
    return {
        name: config[name]
        for name in protocol.keys() - FREE - chosen
        if name in config and config[name] != protocol[name]
    }


def _paper(config: dict[str, Any]) -> str:
    found = [cell for cell in paper.cells() if paper.belonging(cell, [config])]
    numbers = " / ".join(dict.fromkeys(stated(cell) for cell in found))
    other = departures(config)
    text = ", ".join(f"{name}={value}" for name, value in sorted(other.items()))
    return numbers + _mark(bool(found and other), f"here {text}")


def _row_name(result: dict[str, Any]) -> str:
    mode = result["config"].get("mode")
    if mode not in paper.ROWS:
        return ""
    return paper.row_name(mode, result["method"], result["policy"]) or ""


def _dataset(row: list[dict[str, Any]]) -> str:
    config = row[0]["config"]
    chosen_by = ", unused training images" if config.get("evaluate_on") == "unused" else ""
    return config.get("dataset", "own data") + chosen_by


def _errors(row: list[dict[str, Any]]) -> list[float]:
    return [result["test_error"] for result in row]


def _steps(row: list[dict[str, Any]]) -> str:
    return " or ".join(str(steps) for steps in sorted({result["steps"] for result in row}))


def _markdown(lines: list[list[str]]) -> str:
    """A table; the first line is its head."""
    head, *rest = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest])


def _usual(values: list[str]) -> str:
    return max(values, key=values.count)


def _mark(wanted: bool, text: str) -> str:
    return f" ({text})" if wanted else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation; the value itself where there is one."""
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else ""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f}" if known else ""


def _told(runs: list[dict[str, Any]], number: int | None, policy: str | None) -> str:
    if policy is not None:
        # Here, since a policy's spelling needs TensorFlow, which a table does not.
        with job.tensorflow_start():
            from tf_metamixup.report import comparison

        return comparison.against(policy, runs)
    return table(runs) if number is None else paper_table(number, runs)


def main(argv: list[str]) -> int:
    """Prints the table; returns the exit code."""
    values = flags.FlagValues()
    common = {"flag_values": values, "module_name": "report"}
    flags.DEFINE_integer("table", None, "one of the paper's tables", 1, 5, **common)
    flags.DEFINE_string("against", None, "policy or name of the row to compare with", **common)
    flags.DEFINE_string("keep", None, "folder that results.jsonl goes to", **common)
    flags.DEFINE_boolean("help", False, "show this", **common)
    try:
        _, *folders = values(argv)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if values["help"].value:
        print(f"{__doc__}\n{values.get_help()}")
        return 0
    if not folders:
        print(
            "usage: python -m tf_metamixup.report RUNS_DIR... [--table=N | --against=POLICY] "
            "[--keep=DIR]",
            file=sys.stderr,
        )
        return 2
    found = results.read(folders)
    if not found:
        print(f"error: no result with a test error below {', '.join(folders)}", file=sys.stderr)
        return 1
    try:
        print(_told(found, values["table"].value, values["against"].value))
        if values["keep"].value is not None:
            results.keep(found, values["keep"].value)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
