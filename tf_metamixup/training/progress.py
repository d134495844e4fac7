"""What a run shows while it goes on: log intervals and the progress bar."""

import sys

import numpy as np
import tqdm

from tf_metamixup.runs.history import History


class Interval:
    """Collects what happened since the last log entry."""

    def __init__(self):
        self._sums: dict[str, np.ndarray] = {}
        self._rows: list[np.ndarray] = []
        self._seconds = 0.0
        self._timed = 0

    def add(self, metrics, rows, seconds: float) -> None:
        """Adds some steps; those that were not timed took 0 seconds."""
        for name, ratios in metrics.items():
            self._sums[name] = self._sums.get(name, 0) + ratios.sum(axis=0)
        self._rows.append(rows)
        self._seconds += seconds
        self._timed += len(rows) if seconds else 0

    def rows(self) -> np.ndarray:
        """Returns the mixed rows, [n, 6]."""
        return np.concatenate(self._rows)

    def scalars(self, learning_rate: float) -> dict[str, float]:
        """Returns means by TensorBoard's tags."""
        means = {
            "losses/interval" if name == "train_loss" else f"monitors/{name}": top / bottom
            for name, (top, bottom) in self._sums.items()
            if bottom
        }
        means["monitors/learning_rate"] = learning_rate
        if self._timed:
            means["monitors/images_per_second"] = self._timed / self._seconds
        return means

    def line(self, history: History) -> str:
        """Returns what the progress bar says."""
        top, bottom = self._sums["train_loss"]
        parts = [f"epoch {len(history.entries) + 1}", f"loss {top / bottom:.3f}"]
        if self._timed:
            parts.append(f"{self._timed / self._seconds:.0f} images/s")
        for part in ("val", "test"):
            errors = [e.get(f"{part}_error") for e in history.entries]
            if known := [error for error in errors if error is not None]:
                parts.append(f"{part} error {known[-1]:.2f} %")
        return ", ".join(parts)


def progress_bar(step: int, steps: int, *, shown: bool) -> tqdm.tqdm:
    """Makes the progress bar of a run; not on a terminal, each refresh is a line."""
    # Not on a terminal each refresh is a line of a log file.
    seconds = 0.5 if sys.stderr.isatty() else 10
    return tqdm.tqdm(
        total=steps,
        initial=step,
        unit="step",
        mininterval=seconds,
        dynamic_ncols=True,
        disable=not shown,
    )
