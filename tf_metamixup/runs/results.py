"""The results of finished runs: read from their run directories, and kept without them."""

import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from tf_metamixup.config import NOT_IDENTITY
from tf_metamixup.core.errors import UserError
from tf_metamixup.runs.atomic import replacing

KEPT = "results.jsonl"


def read(folders: Iterable[str]) -> list[dict[str, Any]]:
    """What runs below the folders came to, those that failed or were not evaluated left out.

    Each comes from a run's `result.json`, or is a line of a `results.jsonl` that `keep` wrote. A
    run that is found in both is told once.
    """
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        root = pathlib.Path(folder).expanduser()
        for path in [*sorted(root.rglob("result.json")), *sorted(root.rglob(KEPT))]:
            for result in _contents(path):
                if result["status"] != "failed" and result["test_error"] is not None:
                    found.setdefault(line(result), result)
    return list(found.values())


def keep(results: Iterable[dict[str, Any]], folder: str) -> None:
    """Writes `results.jsonl` into the folder, a sorted line of JSON for each result.

    Raises:
        UserError: it cannot be written.
    """
    path = pathlib.Path(folder).expanduser() / KEPT
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.writelines(f"{text}\n".encode() for text in sorted(map(line, results)))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def line(result: dict[str, Any]) -> str:
    """The JSON that is kept of a result: without where the run lay and all epochs but the last."""
    config = {k: v for k, v in result["config"].items() if k not in NOT_IDENTITY}
    return json.dumps(
        result | {"config": config, "history": result["history"][-1:]}, sort_keys=True
    )


def _contents(path: pathlib.Path) -> list[dict[str, Any]]:
    text = path.read_text()
    try:
        return [json.loads(part) for part in (text.splitlines() if path.name == KEPT else [text])]
    except ValueError:
        print(f"warning: {path} is not JSON and is left out", file=sys.stderr)
        return []
