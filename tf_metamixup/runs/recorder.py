"""What a run leaves behind, and who writes it: of the workers of a job, the chief alone."""

import contextlib
import importlib.metadata
import io
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
from tf_metamixup.runs.checkpoints import Checkpoints, Progress
from tf_metamixup.runs.directory import RunDirectory


class Record:
    """That of a worker which writes nothing.

    Args:
        variables: what a checkpoint holds of the device.
    """

    def __init__(self, variables: list[keras.Variable]):
        self._variables = variables

    def held(self) -> contextlib.AbstractContextManager:
        """A block that no other process may enter at the same time."""
        return contextlib.nullcontext()

    def claim(
        self,
        settings: dict[str, Any],
        facts: dict[str, Any],
        splits: dict[str, list] | None,
        contents: dict[str, str] | None,
    ) -> None:
        """Says whose the run is; see `RunDirectory.claim`."""

    def restore(self) -> Progress | None:
        """Loads the newest checkpoint into the variables; None if there is none."""

    def packed(self, step: int) -> bytes:
        """The checkpoint of `step`, for `unpack` of another worker."""
        return b""

    def unpack(self, packed: bytes) -> Progress:
        """Loads what the chief's `packed` gave."""
        with (
            tempfile.TemporaryDirectory() as folder,
            tarfile.open(fileobj=io.BytesIO(packed)) as tar,
        ):
            tar.extractall(folder, filter="data")
            return Checkpoints(pathlib.Path(folder), self._variables).restore()

    def finished(self) -> dict[str, Any] | None:
        """The result of a run that has nothing left to do."""

    def begin(self, settings: dict[str, Any], class_names: Sequence[str]) -> None:
        """Opens the log."""

    def interval(self, step: int, scalars: dict[str, float], rows: np.ndarray) -> None:
        """See `Summaries.interval`."""

    def epoch(self, step: int, entry: dict[str, Any]) -> None:
        """See `Summaries.epoch`."""

    def pictures(self, step: int, pairs, evaluation, sample) -> None:
        """See `Summaries.pictures`."""

    def checkpoint(self, step: int, progress: Progress) -> None:
        """See `Checkpoints.save`."""

    def lambdas(self, arrays: dict[str, np.ndarray]) -> None:
        """Replaces `lambdas.npz`."""

    def evaluation(self, arrays: dict[str, np.ndarray]) -> None:
        """Replaces `evaluation.npz`."""

    def result(self, content: dict[str, Any]) -> None:
        """Replaces `result.json`."""


class ChiefRecord(Record):
    """That of the worker which writes into the run directory.

    Args:
        variables: as above.
        run_dir: the run's folder.
    """

    def __init__(self, variables: list[keras.Variable], run_dir: str | os.PathLike):
        super().__init__(variables)
        self._folder = RunDirectory(run_dir)
        self._checkpoints = Checkpoints(self._folder.checkpoints, variables)
        self._summaries = None  # where TensorBoard is not installed

    def held(self):
        """See `RunDirectory.locked`."""
        return self._folder.locked()

    def claim(self, settings, facts, splits, contents):
        """See `RunDirectory.claim`; what was read of the data is the run's too.

        `splits` go into `splits.json` and `contents` into `data.json`.

        Raises:
            UserError: naming what differs.
        """
        theirs = self._folder.read("config.json") or {"settings": settings}
        if theirs.get("settings", {}).get("dataset") == settings.get("dataset"):
            # Before the settings, since some of them follow from how many images there are.
            self._require_same("data.json", contents, changes)
        self._folder.claim(settings, facts)
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
                "another --run_dir, or give it its data again"
            )

    def restore(self):
        """See `Checkpoints.restore`."""
        return self._checkpoints.restore()

    def packed(self, step):
        """See `Record`."""
        folder = self._checkpoints.path(step)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(folder, arcname=folder.name)
        return packed.getvalue()

    def finished(self):
        """See `Record`."""
        result = self._folder.read("result.json") or {}
        return result if result.get("status") == "finished" else None

    def begin(self, settings, class_names):
        """See `Record`."""
        try:
            with extras.needed("tensorboard"):
                from tf_metamixup.runs.tensorboard import Summaries
        except UserError as error:
            warnings.warn(f"no events for TensorBoard are written: {error}", stacklevel=2)
            return
        self._summaries = Summaries(self._folder.tensorboard, class_names)
        self._summaries.configuration(settings)

    def interval(self, step, scalars, rows):
        """See `Summaries.interval`."""
        if self._summaries:
            self._summaries.interval(step, scalars, rows)

    def epoch(self, step, entry):
        """See `Summaries.epoch`."""
        if self._summaries:
            self._summaries.epoch(step, entry)

    def pictures(self, step, pairs, evaluation, sample):
        """See `Summaries.pictures`."""
        if self._summaries:
            self._summaries.pictures(step, pairs, evaluation, sample)

    def checkpoint(self, step, progress):
        """See `Checkpoints.save`."""
        self._checkpoints.save(step, progress)

    def lambdas(self, arrays):
        """See `Record`."""
        self._folder.write_arrays("lambdas.npz", arrays)

    def evaluation(self, arrays):
        """See `Record`."""
        self._folder.write_arrays("evaluation.npz", arrays)

    def result(self, content):
        """See `Record`."""
        self._folder.write_json("result.json", content)


def _differing_parts(before: dict[str, list], now: dict[str, list]) -> str:
    differing = [name for name in now if before.get(name) != now[name]]
    return f"other images are {' and '.join(differing)}" if differing else ""


def versions() -> dict[str, str]:
    """Returns what this run is made with."""
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
