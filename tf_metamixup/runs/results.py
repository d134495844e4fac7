"""The results of finished runs: read from their run directories, and kept without them."""

import dataclasses
import json
import numbers
import os
import pathlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tf_metamixup.config import FREE, RECORDED_ONLY, Config, selecting
from tf_metamixup.core.errors import UserError, explained, reason, require
from tf_metamixup.runs.atomic import replacing

DEFAULTS = {field.name: field.default for field in dataclasses.fields(Config)}
# What versions that did not record them did.
DEFAULTS |= {"mix_until": 1.0, "learning_rate": 0.1}
KEPT = "results.jsonl"
NAMED = 3  # duplicates in one line
_REQUIRED = ("config", "history", "labels_used", "method", "policy", "status", "steps")


class Row(NamedTuple):
    """Holds runs that differ in nothing but their seeds."""

    data: str  # the name of their data set, with a checksum where it stands for several
    seeds: dict[int, dict[str, Any]]  # contents of `result.json` by seed

    @property
    def first(self) -> dict[str, Any]:
        """Returns one of them, for what they have in common."""
        return next(iter(self.seeds.values()))

    @property
    def errors(self) -> list[float]:
        """Returns their test errors in percent, or validation errors without test images."""
        return [reported_error(result)[1] for result in self.seeds.values()]

    @property
    def evaluated_on(self) -> str:
        """Returns which images the errors are of."""
        return f"{reported_error(self.first)[0]} images"


def reported_error(result: Mapping[str, Any]) -> tuple[str, float | None]:
    """Returns which images a result's error is of, and the error in percent.

    "test" images, "unused training" images where the settings say so, or "validation" images, where
    there are none of these.
    """
    error, val_error = result.get("test_error"), result.get("val_error")
    if error is not None and result.get("config", {}).get("evaluate_on") == "unused":
        return "unused training", error
    return ("validation", val_error) if error is None and val_error is not None else ("test", error)


def rows(results: Sequence[dict[str, Any]]) -> list[Row]:
    """Groups results by all that is measured: settings, data and the number of labels read."""
    contents = defaultdict(set)
    for result in results:
        contents[_data_set(result)].add(result.get("data"))
    found: dict[str, Row] = {}
    for result in results:
        name = _data_set(result)
        if len(contents[name]) > 1:
            name += f" ({result.get('data') or 'contents not recorded'})"
        row = found.setdefault(row_key(result), Row(name, {}))
        row.seeds.setdefault(_seed(result), result)
    return list(found.values())


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the settings in which rows differ, sorted."""
    names = sorted({name for config in configs for name in config} - FREE)
    return [n for n in names if len({repr(config.get(n)) for config in configs}) > 1]


def row_key(result: dict[str, Any]) -> str:
    """Identifies a row by what its runs have in common, as one text."""
    # A version that did not know a setting did what its default does.
    free = FREE - selecting(result["config"])
    settings = {
        name: value
        for name, value in result["config"].items()
        if name not in free
        and value is not None
        and value is not False
        and value != DEFAULTS.get(name)
    }
    return json.dumps([settings, result.get("data"), result.get("labels_used")], sort_keys=True)


def run_key(result: dict[str, Any]) -> tuple[str, int]:
    """Identifies a run by its row and its seed."""
    return row_key(result), _seed(result)


def read(folders: Iterable[str]) -> list[dict[str, Any]]:
    """Reads what runs below the folders came to, without those that failed or were not evaluated.

    Each comes from a run's `result.json`, or is a line of a `results.jsonl` that `keep` wrote.
    Settings and seed count once, and finished runs before others; duplicates and failed runs are
    named on stderr.
    """
    found, failed = defaultdict(list), []
    for place, result in _everything(folders):
        if result["status"] == "failed":
            failed.append(place)
        elif reported_error(result)[1] is not None:
            found[run_key(result)].append((place, result))
    if failed:
        print(f"note: left out, since they failed: {_some(failed)}", file=sys.stderr)
    for copies in found.values():
        copies.sort(key=lambda copy: copy[1]["status"] != "finished")  # stable
    _name_duplicates([copies for copies in found.values() if len(copies) > 1])
    return [copies[0][1] for copies in found.values()]


def keep(results: Iterable[dict[str, Any]], folder: str) -> None:
    """Writes `results.jsonl` into the folder, a sorted line of JSON for each result.

    Raises:
        UserError: it cannot be written.
    """
    require(folder, "--keep=", "name a folder")
    path = pathlib.Path(folder).expanduser() / KEPT
    with explained(f"cannot write {path}", OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.writelines(f"{text}\n".encode() for text in sorted(map(line, results)))


def line(result: dict[str, Any]) -> str:
    """Returns the JSON that is kept of a result: no folders, and of all epochs the last."""
    free = {*RECORDED_ONLY} - selecting(result["config"])
    config = {k: v for k, v in result["config"].items() if k not in free}
    return json.dumps(
        result | {"config": config, "history": result["history"][-1:]}, sort_keys=True
    )


def _untimed(result: dict[str, Any]) -> str:
    """Returns the JSON of a result without how long it took."""
    timed = ("seconds", "images_per_second")
    return line({name: value for name, value in result.items() if name not in timed})


def _data_set(result: dict[str, Any]) -> str:
    return result["config"].get("dataset") or "own data"


def _seed(result: dict[str, Any]) -> int:
    return result["config"].get("seed", 0)


def _name_duplicates(duplicates: list[list[tuple[str, dict[str, Any]]]]) -> None:
    """Prints a line about copies of a result, and one about results that contradict each other."""
    copies, others, advice = [], [], ""
    for (kept, result), *more in duplicates:
        for place, other in more:
            if _untimed(other) == _untimed(result):
                copies.append(f"{place} of {kept}")
                continue
            if "dataset" not in result["config"]:
                advice = ". If their data differ, name them: Trainer.fit(..., dataset='NAME')"
            errors = [reported_error(each)[1] for each in (result, other)]
            others.append(
                f"{errors[0]:.2f} % in {kept}, {errors[1]:.2f} % ({other['status']}) in {place}"
            )
    if copies:
        print(f"note: copies of a run count once: {_some(copies)}", file=sys.stderr)
    if others:
        print(
            "warning: results of the same settings and seed differ, and only the first of each is "
            f"used: {_some(others)}{advice}",
            file=sys.stderr,
        )


def _some(texts: list[str]) -> str:
    more = f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return "; ".join(texts[:NAMED]) + more


def _everything(folders: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each result with where it was found; a file that is reached twice is read once."""
    seen = set()
    for folder in folders:
        root = pathlib.Path(folder).expanduser()
        if not root.exists():
            raise UserError(f"there is no folder {folder} to read results from")
        found = [root] if root.is_file() else [*below(root, "result.json"), *below(root, KEPT)]
        for path in found:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield from _contents(path)


def below(root: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Returns the files of a name at or below a folder, sorted; links are followed."""
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        # A link may lead back up.
        seen.add(os.path.realpath(folder))
        folders[:] = [f for f in folders if os.path.realpath(os.path.join(folder, f)) not in seen]
        found += [pathlib.Path(folder, name)] if name in files else []
    return sorted(found)


def _contents(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text()
    except (OSError, ValueError) as error:
        _left_out(str(path), reason(error))
        return
    parts = {str(path): text}
    if path.name == KEPT:
        parts = {f"{path} line {n}": part for n, part in enumerate(text.splitlines(), 1)}
    for place, part in parts.items():
        try:
            result = json.loads(part)
        except ValueError:
            _left_out(place, "it is not JSON")
            continue
        if not is_result(result):
            _left_out(place, "it is not the result of a run")
            continue
        yield place, result


def is_result(value: Any) -> bool:
    """Returns whether this is the content of a `result.json` of ours."""
    return (
        isinstance(value, dict)
        and value.keys() >= {*_REQUIRED}
        and isinstance(value["config"], dict)
        and isinstance(value["history"], list)
        and all(isinstance(entry, dict) for entry in value["history"])
        and all(isinstance(value[name], str) for name in ("method", "policy", "status"))
        and isinstance(value["steps"], int)
        and isinstance(value["config"].get("seed", 0), int)
        and isinstance(value.get("data"), str | None)
        and all(isinstance(value.get(f"{p}_error"), numbers.Real | None) for p in ("test", "val"))
    )


def _left_out(place: str, why: str) -> None:
    print(f"warning: {place} is skipped: {why}", file=sys.stderr)
