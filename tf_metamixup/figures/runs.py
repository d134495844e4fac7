"""Finished runs as the figures take them: read, checked against each other, grouped by row."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tf_metamixup.config import FREE
from tf_metamixup.core.errors import UserError
from tf_metamixup.experiment import Assembly, rebuild
from tf_metamixup.report import paper
from tf_metamixup.runs import results
from tf_metamixup.runs.directory import read_arrays, read_finished, read_json

# What the rows that a figure compares differ in.
COMPARED = ("method", "policy")
# What figures read of `lambdas.npz`; see `History.lambdas`.
LAMBDAS = ("edges", "before", "after", "pair_epochs", "pair_sum", "pair_count")


@dataclasses.dataclass(frozen=True)
class Run:
    """Represents a finished run."""

    folder: pathlib.Path
    result: dict[str, Any]  # of its `result.json`
    data_dir: str | None = None  # where its TFDS data lies now, if not where it lay then

    @property
    def config(self) -> dict[str, Any]:
        """Returns all settings."""
        return self.result["config"]

    @property
    def row(self) -> str:
        """Returns what the paper calls its method and policy, else both as they are written."""
        method, policy = self.result["method"], self.result["policy"]
        name = paper.display_name(self.config.get("mode"), method, policy)
        return name or (policy if method == "supervised" else f"{method}, {policy}")

    @property
    def mixes_labelled_images(self) -> bool:
        """Returns whether its training loss is that of labelled images mixed by eq. 4 alone."""
        return self.config.get("mode") == "sl" and self.result["method"] == "supervised"

    @property
    def mix_until(self) -> float:
        """Returns the fraction of the run after which mixing stops."""
        return self.config.get("mix_until") or 1.0

    def curve(self, name: str) -> np.ndarray:
        """Returns a value of the history, one an epoch."""
        return np.array([entry[name] for entry in self.result["history"]], float)

    @functools.cached_property
    def lambdas(self) -> dict[str, np.ndarray]:
        """Returns the content of `lambdas.npz`; see `History.lambdas`.

        Raises:
            UserError: it is missing or damaged.
        """
        arrays = read_arrays(self.folder / "lambdas.npz")
        if arrays is None or not arrays.keys() >= {*LAMBDAS}:
            raise UserError(
                f"cannot read {self.folder}/lambdas.npz: {'arrays are' if arrays else 'it is'} "
                "missing; train the run again in a new --run_dir"
            )
        return arrays

    @functools.cached_property
    def rebuilt(self) -> Assembly:
        """Returns its data, and its network as trained; see `rebuild`."""
        return rebuild(self.folder, self.result, self.data_dir)


def read(paths: Iterable[str], data_dir: str | None = None) -> list[Run]:
    """Returns the runs at or below `paths`, each once, in the order of their folders.

    Raises:
        UserError: there are none, or one of them is not finished or cannot be read.
    """
    folders: dict[pathlib.Path, None] = {}
    for path in paths:
        found = [
            file
            for file in results.below(pathlib.Path(path).expanduser(), "config.json")
            if "settings" in (read_json(file) or {})  # else it is another program's
        ]
        if not found:
            raise UserError(
                f"{path!r} is no run directory and none lies below it; RUNS are the --run_dir of "
                "finished runs, or folders that hold them"
            )
        folders |= {file.parent.resolve(): None for file in found}
    return [
        Run(folder, read_finished(folder, "figures are of finished runs"), data_dir)
        for folder in folders
    ]


def check_alike(runs: Sequence[Run], differ: Sequence[str] = COMPARED) -> None:
    """Refuses runs that differ in more than the seed and the settings that a figure compares."""
    first, seen = runs[0], {}
    for run in runs:
        ones, twos = ({**run.config, "data": run.result.get("data")} for run in (first, run))
        other = {
            name: (ones.get(name), twos.get(name))
            for name in sorted((ones.keys() | twos.keys()) - FREE - {*differ})
            if ones.get(name) != twos.get(name)
        }
        if other:
            differences = "; ".join(
                f"{name}: {one!r} and {two!r}" for name, (one, two) in other.items()
            )
            allowed = ", ".join([*differ, "seed"])
            raise UserError(
                f"this figure compares runs that differ in no more than {allowed}, but "
                f"{differences} ({first.folder} and {run.folder}); give it runs that are alike "
                "in these"
            )
        same = seen.setdefault(results.run_key(run.result), run)
        if same is not run:
            raise UserError(
                f"{same.folder} and {run.folder} are the same run, settings and seed: leave one out"
            )


def check_lengths(runs: Sequence[Run]) -> None:
    """Refuses runs of which some ended early, whose epochs are not averaged."""
    epochs = {len(run.result["history"]): run for run in runs}
    if len(epochs) > 1:
        (fewest, one), (most, other) = min(epochs.items()), max(epochs.items())
        raise UserError(
            f"this figure averages over epochs, but {one.folder} has {fewest} and {other.folder} "
            f"{most}: give it runs of one length, without --patience"
        )


def by_row(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Groups runs by row; those that learn nothing first, so that MixUp keeps its colour.

    Raises:
        UserError: one row has runs of several methods or policies, whose names differ in options.
    """
    rows: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: ("meta" in run.result["policy"], run.row)):
        rows.setdefault(run.row, []).append(run)
    for row, alike in rows.items():
        kinds = {f"{run.result['method']}, {run.result['policy']}" for run in alike}
        if len(kinds) > 1:
            raise UserError(
                f"runs of row {row} differ: {'; '.join(sorted(kinds))}; a figure takes one kind of "
                "a row, so leave some out"
            )
    return rows


def subject(runs: Sequence[Run]) -> str:
    """Describes what the runs have in common, for a title."""
    forms = {"dataset": "{}", "architecture": "{}"}
    forms |= {"train_examples": "{:,} training images", "epochs": "{} epochs"}
    known = {name: runs[0].config.get(name) for name in forms}
    parts = [form.format(known[name]) for name, form in forms.items() if known[name]]
    if runs[0].mix_until < 1:
        parts.append(f"mixed for {100 * runs[0].mix_until:g} % of the steps")
    return ", ".join(parts) or "own data and model"


def seeds(runs: Sequence[Run]) -> str:
    """Formats the number of seeds."""
    return "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
