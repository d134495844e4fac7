"""A run's folder: whose it is, and its small files, each written whole or not at all."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tf_metamixup.core.errors import UserError, explained, reason
from tf_metamixup.runs.atomic import replacing
from tf_metamixup.runs.results import DEFAULTS, is_result


class RunDirectory:
    """Represents the folder of one run, which is made if missing; layout in docs/cli.md.

    Raises:
        UserError: it cannot be created or written.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.saved_model = self.path / "saved_model"
        self.litert = self.path / "litert"
        with self._writing():
            self.checkpoints.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder for this process; the kernel unlocks it however the process ends.

        Raises:
            UserError: another process has locked it.
        """
        with self._writing():
            lock = (self.path / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"run directory {self.path} is in use by another process; wait for it or "
                    "choose another --run_dir"
                ) from None
            except OSError as error:
                raise UserError(
                    f"the file system of run directory {self.path} has no locks ({reason(error)}), "
                    "without which two processes could write there; choose another --run_dir"
                ) from error
            yield

    def write_or_verify_config(self, settings: dict[str, Any], facts: dict[str, Any]) -> None:
        """Writes `config.json`, or checks that the folder belongs to a run of these settings.

        `facts` are recorded beside them (versions, other settings) and may differ.

        Raises:
            UserError: naming every setting that differs.
        """
        settings = json.loads(json.dumps(settings))
        theirs = self.read("config.json")
        if theirs is None:
            self.write_json("config.json", {"settings": settings, **facts})
            return
        # What an older version did not record, it did not have: the default is what it did.
        theirs = theirs.get("settings", {})
        theirs = {name: DEFAULTS.get(name) for name in settings} | theirs
        differing = [
            f"{name}: {theirs.get(name)!r} there, {settings.get(name)!r} here"
            for name in sorted(theirs.keys() | settings.keys())
            if theirs.get(name) != settings.get(name)
        ]
        if differing:
            raise UserError(
                f"run directory {self.path} belongs to a run with other settings "
                f"({'; '.join(differing)}); choose another --run_dir, or the same settings"
                + self._how_to_extend(theirs, settings)
            )

    def _how_to_extend(self, theirs: dict[str, Any], settings: dict[str, Any]) -> str:
        """Says what to do instead where the lengths of the runs differ."""
        if all(theirs.get(name) == settings.get(name) for name in ("epochs", "steps")):
            return ""
        start = f"--initial_weights={self.path}" if "epochs" in settings else "a new Trainer"
        return (
            "; a run keeps its length, which schedules and ramps depend on, so to train for longer "
            f"start a new run from its weights, with another run_dir and {start}"
        )

    def read(self, name: str) -> dict[str, Any] | None:
        """Returns the JSON file `name`, or None if it is missing.

        Raises:
            UserError: it is not a JSON object.
        """
        return read_json(self.path / name)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Replaces the JSON file `name`."""
        self.write_text(name, json.dumps(content, indent=1))

    def write_text(self, name: str, content: str) -> None:
        """Replaces the text file `name`."""
        with self._writing(), replacing(self.path / name) as file:
            file.write(content.encode())

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Replaces the `.npz` file `name`."""
        with self._writing(), replacing(self.path / name) as file:
            np.savez_compressed(file, **arrays)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        what = f"cannot write into the run directory {self.path}"
        return explained(what, OSError, advice="; choose another --run_dir or make room")


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray] | None:
    """Reads a `.npz` file; None if it is missing.

    Raises:
        UserError: it cannot be read, is cut short or damaged.
    """
    try:
        # Not `np.load`, which takes files of one array too.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return None
    except Exception as error:  # depends on where the damage lies: headers are Python's text
        raise UserError(
            f"cannot read {path}, which is cut short or damaged ({reason(error)}); remove it and "
            "train the run again"
        ) from error


def read_json(path: pathlib.Path) -> dict[str, Any] | None:
    """Returns the content of a JSON file, or None if it is missing.

    Raises:
        UserError: it is not a JSON object.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        if not isinstance(content.get("settings", {}), dict):
            raise ValueError("its `settings` are not a JSON object")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; repair or remove it") from error
    return content


def read_finished(folder: str | os.PathLike, needs: str) -> dict[str, Any]:
    """Returns the content of `result.json` of the finished run in a folder.

    Args:
        folder: a run directory.
        needs: why the run has to be finished, for the message.

    Raises:
        UserError: it has no result, or one that is damaged; the run is not finished.
    """
    path = pathlib.Path(folder).expanduser() / "result.json"
    result = read_json(path)
    if result is None:
        raise UserError(
            f"{folder} holds no result.json: it is no run directory, or its run is not finished; "
            "its command resumes it"
        )
    if not is_result(result):
        raise UserError(f"cannot read {path}: it is not the result of a run; repair or remove it")
    if result["status"] != "finished":
        raise UserError(
            f"the run in {folder} is {result['status']} after {result['steps']} steps, and "
            f"{needs}; resume it with its command, or leave it out"
        )
    return result


def has_begun(path: str | os.PathLike) -> bool:
    """Returns whether the run in a folder has a checkpoint to resume or is finished."""
    folder = pathlib.Path(path).expanduser()
    if any((folder / "checkpoints").glob("step-*")):
        return True
    result = read_json(folder / "result.json") if folder.is_dir() else None
    return bool(result) and result.get("status") == "finished"
