"""What a run leaves behind, and who writes it: of the workers of a job, the chief alone."""

import contextlib
import io
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tf_metamixup.runs.checkpoints import Checkpoints, Progress
from tf_metamixup.runs.directory import RunDirectory
from tf_metamixup.runs.tensorboard import Summaries


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

    def claim(self, settings: dict[str, Any], facts: dict[str, Any], splits: dict | None) -> None:
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

    def held(self):
        """See `RunDirectory.locked`."""
        return self._folder.locked()

    def claim(self, settings, facts, splits):
        """See `RunDirectory.claim`; `splits` go into `splits.json`."""
        self._folder.claim(settings, facts)
        if splits is not None and self._folder.read("splits.json") is None:
            self._folder.write_json("splits.json", splits)

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
        self._summaries = Summaries(self._folder.tensorboard, class_names)
        self._summaries.configuration(settings)

    def interval(self, step, scalars, rows):
        """See `Summaries.interval`."""
        self._summaries.interval(step, scalars, rows)

    def epoch(self, step, entry):
        """See `Summaries.epoch`."""
        self._summaries.epoch(step, entry)

    def pictures(self, step, pairs, evaluation, sample):
        """See `Summaries.pictures`."""
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
