"""Writes and reads what a run leaves behind; of the workers of a job, only the chief does."""

import contextlib
import importlib.metadata
import io
import json
import os
import pathlib
import platform
import tarfile
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tf_metamixup import __version__
from tf_metamixup.core import extras
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.contents import changes
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.runs.checkpoints import Checkpoints, Progress
from tf_metamixup.runs.compatibility import require_same_velocity
from tf_metamixup.runs.directory import RunDirectory, has_begun


class Recorder:
    """Keeps the record of one run: settings, checkpoints, TensorBoard, arrays and the result.

    Every worker of a job has one and calls the same methods; those that are not the chief have no
    folder, write nothing, and get from the chief what they need to know.

    A checkpoint holds `variables` of the device.
    """

    def __init__(
        self, workers: Workers, variables: list[keras.Variable], run_dir: str | os.PathLike
    ):
        self._workers, self._variables = workers, variables
        self._folder = RunDirectory(run_dir) if workers.chief else None
        self._checkpoints = self._folder and Checkpoints(self._folder.checkpoints, variables)
        self._summaries = None  # nor where TensorBoard is not installed

    def lock(self) -> contextlib.AbstractContextManager:
        """Locks the folder; see `RunDirectory.lock`."""
        return self._folder.lock() if self._folder else contextlib.nullcontext()

    def write_or_verify_config(
        self,
        settings: dict[str, Any],
        facts: dict[str, Any],
        splits: dict[str, list] | None,
        contents: dict[str, str] | None,
    ) -> None:
        """Writes whose the folder is, or verifies it; see `RunDirectory.write_or_verify_config`.

        What was read of the data is the run's too: `splits` go into `splits.json` and `contents`
        into `data.json`.

        Raises:
            UserError: naming what differs.
        """
        if not self._folder:
            return
        theirs = self._folder.read("config.json") or {"settings": settings}
        if theirs.get("settings", {}).get("dataset") == settings.get("dataset"):
            # Before the settings, since some of them follow from how many images there are.
            self._require_same("data.json", contents, changes)
        self._folder.write_or_verify_config(settings, facts)
        self._require_same("splits.json", splits, _differing_parts)
        for name, content in (("data.json", contents), ("splits.json", splits)):
            if content is not None and self._folder.read(name) is None:
                self._folder.write_json(name, content)

    def _require_same(self, name, content, differ) -> None:
        before = self._folder.read(name)
        if before is None or content is None:
            return
        if differing := differ(before, content):
            raise UserError(
                f"the data are not those of the run in {self._folder.path}: {differing}; choose "
                "another --run_dir, or restore its data"
            )

    def restore(self) -> Progress | None:
        """Loads the chief's newest checkpoint into the variables; None where there is none.

        Raises:
            UserError: see `Checkpoints.restore` and `compatibility`.
        """
        if not self._folder:
            return None
        result = self._folder.read("result.json") or {}
        if has_begun(self._folder.path) and result.get("status") != "finished":
            require_same_velocity(self._folder.path, self._folder.read("config.json"))
        return self._checkpoints.restore()

    def share(self, progress: Progress | None) -> Progress | None:
        """Loads what the chief has restored on all other workers too, and returns it."""
        if self._workers.count == 1:
            return progress
        content = self._workers.from_chief(
            self.serialize(progress.state["step"]) if progress else b""
        )
        if not content or self._workers.chief:
            return progress
        with (
            tempfile.TemporaryDirectory() as folder,
            tarfile.open(fileobj=io.BytesIO(content)) as tar,
        ):
            tar.extractall(folder, filter="data")
            return Checkpoints(pathlib.Path(folder), self._variables).restore()

    def serialize(self, step: int) -> bytes:
        """Returns the files of the checkpoint of `step` as an archive."""
        folder = self._checkpoints.path(step)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            tar.add(folder, arcname=folder.name)
        return content.getvalue()

    def finished(self) -> dict[str, Any] | None:
        """Returns the result of a run that has nothing left to do, on all workers."""
        result = (self._folder.read("result.json") if self._folder else None) or {}
        result = result if result.get("status") == "finished" else None
        return json.loads(self._workers.from_chief(json.dumps(result).encode()))

    def open_summaries(self, settings: dict[str, Any], class_names: Sequence[str]) -> None:
        """Begins to write events for TensorBoard; warns where it is not installed."""
        if not self._folder:
            return
        try:
            with extras.needed("tensorboard"):
                from tf_metamixup.runs.tensorboard import Summaries
        except UserError as error:
            warnings.warn(f"no events for TensorBoard are written: {error}", stacklevel=2)
            return
        self._summaries = Summaries(self._folder.tensorboard, class_names)
        self._summaries.configuration(settings)

    def interval(self, step: int, scalars: dict[str, float], rows: np.ndarray) -> None:
        """Writes the scalars and mixed rows of an interval to TensorBoard."""
        if self._summaries:
            self._summaries.interval(step, scalars, rows)

    def epoch(self, step: int, entry: dict[str, Any]) -> None:
        """Writes the entry of an epoch to TensorBoard."""
        if self._summaries:
            self._summaries.epoch(step, entry)

    def pictures(self, step: int, pairs, evaluation, sample) -> None:
        """Draws the images of an epoch for TensorBoard."""
        if self._summaries:
            self._summaries.pictures(step, pairs, evaluation, sample)

    def checkpoint(self, step: int, progress: Progress) -> None:
        """Saves a checkpoint."""
        if self._folder:
            self._checkpoints.save(step, progress)

    def arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Replaces `NAME.npz`."""
        if self._folder:
            self._folder.write_arrays(f"{name}.npz", arrays)

    def result(self, content: dict[str, Any]) -> None:
        """Replaces `result.json`."""
        if self._folder:
            self._folder.write_json("result.json", content)


def _differing_parts(before: dict[str, list], now: dict[str, list]) -> str:
    differing = [name for name in now if before.get(name) != now[name]]
    return f"other images are {' and '.join(differing)}" if differing else ""


def versions() -> dict[str, str]:
    """Returns the versions that this run is made with."""
    found = {
        "tf_metamixup": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for package in ("tensorflow", "keras", "tensorflow-datasets", "numpy"):
        # What an extra installs may not be there.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
