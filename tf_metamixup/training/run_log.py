"""Knows how far a run has come, and writes it: checkpoints, counts and the result."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.runs import results
from tf_metamixup.runs.checkpoints import Progress
from tf_metamixup.runs.history import History
from tf_metamixup.runs.recorder import Recorder
from tf_metamixup.training.selection import Selection
from tf_metamixup.training.watch import Watch

# A kill loses no more than so much of a run.
MAX_SECONDS_UNSAVED = 60.0
# Of an epoch without an evaluation.
UNMEASURED = {"test_error": None, "test_loss": None, "test_ece": None}


@dataclasses.dataclass
class RunLog:
    """Represents the progress of one run.

    Attributes:
        step: how many steps are taken.
        history: the epochs so far.
    """

    trainer: Any
    recorder: Recorder
    watch: Watch
    selection: Selection
    config: dict[str, Any]  # for the result, as the others below
    labels_used: int | None
    data: Callable[[], str] | None

    def __post_init__(self):
        self.history = History(self.trainer.classes)
        self.step = 0
        self._seconds = self._images = 0.0
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Returns whether a checkpoint is due."""
        return time.monotonic() - self._saved_at > MAX_SECONDS_UNSAVED

    def resume(self, progress: Progress) -> None:
        """Continues what a checkpoint holds."""
        state = progress.state
        self.step = self.watch.saved = state["step"]
        self._seconds, self._images = state["seconds"], state["images"]
        self.history = History.from_arrays(self.trainer.classes, state["history"], progress.arrays)

    def add(self, count: int, metrics, rows: np.ndarray, seconds: float) -> None:
        """Adds `count` steps; those that were not timed took 0 seconds."""
        self.history.open.add(metrics, rows)
        self.step += count
        self._seconds += seconds
        self._images += len(rows) if seconds else 0

    def learning_rate(self) -> float:
        """Returns eta of the last step."""
        return float(self.trainer.learning_rate(self.step - 1))

    def save(self, *, again: bool = False) -> None:
        """Writes a checkpoint, unless there is one of this step, and the counts.

        Args:
            again: whether to write one all the same.

        Raises:
            NotFiniteError: the weights are not finite; nothing is written.
            UserError: it cannot be written.
        """
        if again or self.watch.saved != self.step:
            self.watch.check_weights(self.step)
            state = {
                "history": self.history.entries,
                "seconds": self._seconds,
                "images": self._images,
                "model": self.selection.checkpointed_model(self.history.entries),
            }
            self.recorder.checkpoint(self.step, Progress(state, self.history.arrays()))
            self.watch.saved, self._saved_at = self.step, time.monotonic()
        self.write_counts()

    def write_counts(
        self, evaluation: Evaluation | None = None, *, with_open: bool = False
    ) -> None:
        """Writes the lambdas and an evaluation, by default that of the last closed epoch."""
        self.recorder.arrays("lambdas", self.history.lambdas(with_open=with_open))
        evaluation = evaluation or self.history.evaluation
        if evaluation is not None:
            self.recorder.arrays("evaluation", evaluation._asdict())

    def write_result(
        self, status: str, entries: list[dict], evaluation: Evaluation | None = None, **more
    ) -> dict[str, Any]:
        """Writes and returns the result.

        Args:
            status: "finished", "stopped" or "failed".
            entries: of the history, with a preview of the open epoch where one is.
            evaluation: where that of the last closed epoch is not the last one.
            **more: further content.
        """
        last = entries[-1] if entries else UNMEASURED
        seconds = self._seconds
        result = {
            "status": status,
            **{k: v for k, v in last.items() if k.startswith(("test_", "val_"))},
            **self._class_errors(last | more, evaluation or self.history.evaluation),
            "epochs": len(self.history.entries),
            "steps": self.step,
            "seconds": round(seconds, 3),
            "images_per_second": round(self._images / seconds, 1) if seconds else None,
            "labels_used": self.labels_used,
            "data": self.data() if self.data and status != "failed" else None,
            "parameters": self.trainer.parameters,
            "averaged": self.trainer.network.averaged,  # what was evaluated; decay
            "method": self.config["method"],
            "policy": self.config["policy"],
            "config": self.config,
            "history": entries,
            **more,
        }
        unfinished = len(entries) > len(self.history.entries)
        self.write_counts(evaluation, with_open=unfinished)
        self.recorder.result(result)
        return result

    def _class_errors(self, last: dict[str, Any], evaluation: Evaluation | None) -> dict[str, Any]:
        """Returns the errors by class name and of how many images, if there was an evaluation."""
        if evaluation is None or results.reported_error(last)[1] is None:
            return {"class_errors": None, "evaluated_images": None}
        errors = zip(self.trainer.class_names, evaluation.class_errors, strict=True)
        return {"class_errors": dict(errors), "evaluated_images": int(evaluation.images)}
