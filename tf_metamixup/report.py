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

# What may differ within a row of the table.
SEED = "seed"


def read(folder: str) -> list[dict[str, Any]]:
    """Every `result.json` below `folder` that has an error to show."""
    found = []
    for path in sorted(pathlib.Path(folder).expanduser().rglob("result.json")):
        try:
            result = json.loads(path.read_text())
        except ValueError:
            print(f"warning: {path} is not JSON and is left out", file=sys.stderr)
            continue
        if result.get("test_error") is not None:
            found.append(result)
    return found


def table(results: Iterable[dict[str, Any]]) -> str:
    """Markdown: rows of equal settings but the seed, best first within a data set."""
    rows = defaultdict(list)
    for result in results:
        settings = {k: v for k, v in result["config"].items() if k not in (*NOT_IDENTITY, SEED)}
        rows[json.dumps(settings, sort_keys=True)].append(result)
    most = max((len(row) for row in rows.values()), default=0)
    lines = [
        "| data set | method | policy | labels used | steps | test error % | seeds | accepted "
        "| wrong of accepted % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows.values(), key=_order):
        first, last = row[0], [result["history"][-1] for result in row]
        errors = [result["test_error"] for result in row]
        steps = sorted({result["steps"] for result in row})
        marks = "" if len(row) == most else " (fewer)"
        marks += "" if all(r["status"] == "finished" for r in row) else " (not finished)"
        cells = [
            first["config"].get("dataset", "own data"),
            f"`{first['method']}`",
            f"`{first['policy']}`",
            first["labels_used"],
            " or ".join(map(str, steps)),
            _spread(errors),
            f"{len(row)}{marks}",
            _mean([entry.get("accepted") for entry in last]),
            _mean([entry.get("pseudo_label_error") for entry in last]),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _order(row: list[dict[str, Any]]) -> tuple[str, float]:
    return str(row[0]["config"].get("dataset")), float(np.mean([r["test_error"] for r in row]))


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
