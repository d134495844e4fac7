"""`python -m tf_metamixup.report RUNS_DIR`: finished runs as a Markdown table.

One line a row of results, seeds taken together. The error is that of the last epoch.
"""

import json
import pathlib
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from tf_metamixup.config import NOT_IDENTITY

COLUMNS = (
    "data set",
    "architecture",
    "method",
    "policy",
    "labels used",
    "steps",
    "test error %",
    "seeds",
    "accepted",
    "wrong of accepted %",
)


def read(folder: str) -> list[dict[str, Any]]:
    """Every `result.json` below `folder` of a run that did not fail and was evaluated."""
    found = []
    for path in sorted(pathlib.Path(folder).expanduser().rglob("result.json")):
        try:
            result = json.loads(path.read_text())
        except ValueError:
            print(f"warning: {path} is not JSON and is left out", file=sys.stderr)
            continue
        if result["status"] != "failed" and result["test_error"] is not None:
            found.append(result)
    return found


def table(results: Iterable[dict[str, Any]]) -> str:
    """Markdown: a line for each set of settings that differ in no more than the seed.

    Within a data set the best comes first. Cells with fewer seeds than the fullest line, with runs
    that are not finished, or with other steps than most lines of the data set are marked.
    """
    rows = defaultdict(list)
    for result in results:
        settings = {k: v for k, v in result["config"].items() if k not in (*NOT_IDENTITY, "seed")}
        rows[json.dumps(settings, sort_keys=True)].append(result)
    ordered = sorted(rows.values(), key=lambda row: (_dataset(row), np.mean(_errors(row))))
    most_seeds = max((len(row) for row in ordered), default=0)
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in ordered:
        usual = _usual([_steps(other) for other in ordered if _dataset(other) == _dataset(row)])
        first, last = row[0], [result["history"][-1] for result in row]
        cells = [
            _dataset(row),
            f"`{first['config'].get('architecture', 'own model')}`",
            f"`{first['method']}`",
            f"`{first['policy']}`",
            _text(first["labels_used"]),
            _steps(row) + _mark(_steps(row) != usual, "others: " + usual),
            _spread(_errors(row)),
            str(len(row))
            + _mark(len(row) < most_seeds, f"of {most_seeds}")
            + _mark(any(result["status"] != "finished" for result in row), "not finished"),
            _mean([entry.get("accepted") for entry in last]),
            _mean([entry.get("pseudo_label_error") for entry in last]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _dataset(row: list[dict[str, Any]]) -> str:
    return row[0]["config"].get("dataset", "own data")


def _errors(row: list[dict[str, Any]]) -> list[float]:
    return [result["test_error"] for result in row]


def _steps(row: list[dict[str, Any]]) -> str:
    return " or ".join(str(steps) for steps in sorted({result["steps"] for result in row}))


def _usual(values: list[str]) -> str:
    return max(values, key=values.count)


def _mark(wanted: bool, text: str) -> str:
    return f" ({text})" if wanted else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f}" if known else ""


def main(argv: list[str]) -> int:
    """Prints the table; returns the exit code."""
    if len(argv) != 2:
        print("usage: python -m tf_metamixup.report RUNS_DIR", file=sys.stderr)
        return 2
    results = read(argv[1])
    if not results:
        print(f"error: no result.json with a test error below {argv[1]!r}", file=sys.stderr)
        return 1
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
