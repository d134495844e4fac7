"""Rows of a study against one of them, paired by seed: differences with 95 % intervals."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from tf_metamixup import policies
from tf_metamixup.config import NOT_IDENTITY
from tf_metamixup.core.errors import UserError

LEVEL = 0.95
COLUMNS = (
    *("row", "labels used", "steps", "seeds", "error %"),
    *("difference", "95 % interval", "told apart"),
)


def against(reference: str, results: Sequence[dict[str, Any]]) -> str:
    """Markdown, a table a data set: each row's error less that of the reference on the same seeds.

    Pairing by seed takes out what the seed decides for both: the split, the initial weights and the
    order of the images. Intervals are Student's, of the mean difference; how many were drawn is
    told, since one of twenty excludes zero where there is no difference.

    Args:
        reference: a row as the table names it, or its policy. If several rows have the policy, the
            reference is the one of the fewest labels and steps.
        results: contents of `result.json` of finished runs.

    Raises:
        UserError: there is no such row.
    """
    by_dataset = _by_dataset(results)
    # A row's name need not be spelt like a policy, and need not be one in every data set.
    policy = reference if _is_named(reference, by_dataset) else str(policies.parse(reference))
    tables, drawn = [], 0
    for dataset, rows in by_dataset.items():
        own = [row for row in rows if _plain_name(row, rows) == reference]
        own = own or [row for row in rows if _first(row)["policy"] == policy]
        if not own:
            continue
        chosen = min(own, key=lambda row: (_first(row)["labels_used"], _first(row)["steps"]))
        base = {seed: result["test_error"] for seed, result in chosen.items()}
        lines = []
        for row in sorted(rows, key=lambda row: np.mean([r["test_error"] for r in row.values()])):
            errors = {seed: result["test_error"] for seed, result in row.items()}
            seeds = sorted(errors.keys() & base.keys())
            cells = [
                *(_name(row, rows), str(_first(row)["labels_used"]), str(_first(row)["steps"])),
                *(str(len(errors)), f"{np.mean(list(errors.values())):.2f}"),
            ]
            if row is chosen:
                cells += ["reference", "", ""]
            elif len(seeds) < 2:
                cells += ["fewer than 2 common seeds", "", ""]
            else:
                pair = [errors[seed] for seed in seeds], [base[seed] for seed in seeds]
                low, high = stats.ttest_rel(*pair).confidence_interval(LEVEL)
                drawn += 1
                mean = np.mean(np.subtract(*pair))
                note = "" if len(seeds) == len(errors) else f" ({len(seeds)} common seeds)"
                apart = "lower" if high < 0 else "higher" if low > 0 else "no"
                cells += [f"{mean:+.2f}{note}", f"{low:+.2f} to {high:+.2f}", apart]
            lines.append(cells)
        head = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *lines)]
        tables.append(
            "\n".join([f"**{dataset}**, less the error of {_name(chosen, rows)}", "", *head])
        )
    if not tables:
        raise UserError(f"no finished run has the policy {reference}")
    told = f"{drawn} intervals were drawn; where nothing differs, one in twenty excludes zero."
    return "\n\n".join([*tables, told])


def _by_dataset(results) -> dict[str, list[dict[int, dict[str, Any]]]]:
    """By data set, its rows: the results by seed of runs that differ in nothing else."""
    rows: dict[str, dict[str, dict]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        if result["status"] != "finished":
            continue
        config = result["config"]
        settings = {k: v for k, v in config.items() if k not in (*NOT_IDENTITY, "seed")}
        judged = (
            "unused training images" if config.get("evaluate_on") == "unused" else "test images"
        )
        dataset = f"{config.get('dataset', 'own data')}, {judged}"
        rows[dataset][repr(sorted(settings.items()))][config.get("seed", 0)] = result
    return {dataset: list(found.values()) for dataset, found in rows.items()}


def _first(row: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return next(iter(row.values()))


def _is_named(text: str, by_dataset) -> bool:
    return any(_plain_name(row, rows) == text for rows in by_dataset.values() for row in rows)


def _plain_name(row, rows) -> str:
    return _name(row, rows).replace("`", "")


def _name(row, rows) -> str:
    """Its policy, and what else the rows of its data set differ in."""
    configs = [_first(other)["config"] for other in rows]
    config, parts = _first(row)["config"], [f"`{_first(row)['policy']}`"]
    for name in sorted(config):
        if name in (*NOT_IDENTITY, "seed", "policy"):
            continue
        if len({repr(other.get(name)) for other in configs}) > 1:
            parts.append(f"{name} {config[name]}")
    return ", ".join(parts)
