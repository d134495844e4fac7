"""Rows of a study against one of them, paired by seed: differences with 95 % intervals."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from tf_metamixup import policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.markdown import table
from tf_metamixup.data.contents import listing
from tf_metamixup.runs.results import Row, differing, rows

LEVEL = 0.95
COLUMNS = (
    *("row", "labels used", "steps", "seeds", "error %"),
    *("difference", "95 % interval", "distinguishable"),
)


def against(reference: str, results: Sequence[dict[str, Any]]) -> str:
    """Formats, by data set, each row's error less that of the reference on the same seeds.

    Pairing by seed takes out what the seed decides for both: the split, the initial weights and the
    order of the images. Intervals are Student's, of the mean difference; they are
    not corrected for how many there are, which the last line says.

    Args:
        reference: a row as the table names it, or its policy. If several rows have the policy, the
            reference is the one of the fewest labels and steps.
        results: contents of `result.json` of finished runs.

    Raises:
        UserError: there is no such row.
    """
    by_dataset = _by_dataset(results)
    # A row's name need not be spelt like a policy, and need not be one in every data set.
    named = {_plain_name(row, among) for among in by_dataset.values() for row in among}
    try:
        policy = reference if reference in named else str(policies.parse(reference))
    except UserError as error:
        raise UserError(f"{error}; rows here: {listing(named)}") from None
    tables, without, drawn = [], [], 0
    for dataset, among in by_dataset.items():
        own = [row for row in among if _plain_name(row, among) == reference]
        own = own or [row for row in among if row.first["policy"] == policy]
        if not own:
            without.append(dataset)
            continue
        chosen = min(own, key=lambda row: (row.first["labels_used"] or 0, row.first["steps"]))
        ordered = sorted(among, key=lambda row: np.mean(row.errors))
        lines = [[*_described(row, among), *_compared(row, chosen)] for row in ordered]
        drawn += sum(line[-1] != "" for line in lines)
        title = f"**{dataset}**, less the error of {_name(chosen, among)}"
        tables.append(f"{title}\n\n{table(COLUMNS, lines)}")
    if not tables:
        raise UserError(f"no finished run has the policy {reference}")
    if without:
        message = f"left out, since no row there is {reference}: {listing(without)}"
        warnings.warn(message, stacklevel=2)
    note = f"Comparisons: {drawn}, each at {100 * LEVEL:.0f} %, uncorrected."
    return "\n\n".join([*tables, note])


def _described(row: Row, among: Sequence[Row]) -> list[str]:
    labels = row.first["labels_used"]
    return [
        _name(row, among),
        "" if labels is None else str(labels),
        str(row.first["steps"]),
        str(len(row.seeds)),
        f"{np.mean(row.errors):.2f}",
    ]


def _compared(row: Row, chosen: Row) -> list[str]:
    """Returns a row's difference from the reference, its interval, and what that says."""
    if row is chosen:
        return ["reference", "", ""]
    errors, base = (dict(zip(each.seeds, each.errors, strict=True)) for each in (row, chosen))
    seeds = sorted(errors.keys() & base.keys())
    if len(seeds) < 2:
        return ["fewer than 2 common seeds", "", ""]
    differences = np.array([errors[seed] - base[seed] for seed in seeds])
    note = "" if len(seeds) == len(errors) else f" ({len(seeds)} common seeds)"
    difference = f"{differences.mean():+.2f}{note}"
    if np.allclose(differences, differences[0], rtol=0, atol=1e-9):
        return [difference, "no interval: all equal", ""]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(LEVEL)
    apart = "lower" if high < 0 else "higher" if low > 0 else "no"
    return [difference, f"{low:+.2f} to {high:+.2f}", apart]


def _by_dataset(results) -> dict[str, list[Row]]:
    """Returns the rows of finished runs, by what they were trained and evaluated on."""
    found = defaultdict(list)
    for row in rows([result for result in results if result["status"] == "finished"]):
        found[f"{row.data}, {row.evaluated_on}"].append(row)
    return found


def _plain_name(row: Row, among: Sequence[Row]) -> str:
    return _name(row, among).replace("`", "")


def _name(row: Row, among: Sequence[Row]) -> str:
    """Returns its policy, and what else the rows of its data set differ in."""
    config = row.first["config"]
    names = differing([other.first["config"] for other in among])
    more = [f"{name} {config[name]}" for name in names if name in config and name != "policy"]
    return ", ".join([f"`{row.first['policy']}`", *more])
