"""Shows a run while it goes on: log intervals, the progress bar, an estimate of its time."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metamixup.core.bars import Bar

# Timed steps, or seconds of them, before the whole time is estimated; and the seconds from which
# it is long.
ESTIMATED_AFTER = 20
ESTIMATED_AFTER_SECONDS = 60
LONG = 6 * 3600


Entries = Sequence[Mapping[str, Any]]  # of the history, one per epoch


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

    def line(self, epoch: int) -> str:
        """Formats what the progress bar says of the steps."""
        top, bottom = self._sums["train_loss"]
        parts = [f"epoch {epoch}", f"loss {top / bottom:.3f}"]
        if self._timed:
            parts.append(f"{self._timed / self._seconds:.0f} images/s")
        return ", ".join(parts)


class ProgressBar(Bar):
    """Shows the progress of a run; the time of building its graph is not counted.

    Args:
        step: where this invocation begins.
        last_step: where it ends, or where a stage of it does.
        steps: of the whole run.
        shown: whether this worker shows it.
        ways: ways to shorten the run, named where it is long.
    """

    def __init__(
        self, step: int, last_step: int, steps: int, *, shown: bool, ways: Sequence[str] = ()
    ):
        super().__init__(total=steps, initial=step, unit="step", disable=not shown)
        self._ways, self._line = ways, ""
        self.estimate_anew(last_step - step)

    def estimate_anew(self, left: int) -> None:
        """Begins an estimate, for `left` steps which may take longer than those before."""
        self._left, self._end = left, self.n + left
        self._timed, self._seconds, self._estimated = 0, 0.0, False
        self._evaluations: list[tuple[int, float]] = []  # the step, and when

    def advance(self, count: int, seconds: float, line: str, entries: Entries) -> None:
        """Moves on by `count` steps of so many seconds, 0 where building the graph took most."""
        if self.disable:
            return
        self._line = line
        self._describe(entries)
        if not seconds:
            # Else the rate, and with it the time left, would be that of building the graph.
            self.n += count
            self.initial = self.last_print_n = self.n
            self.start_t = self.last_print_t = time.time()
            return
        self.update(count)
        self._timed += count
        self._seconds += seconds
        enough = self._timed >= ESTIMATED_AFTER or self._seconds >= ESTIMATED_AFTER_SECONDS
        if enough and not self._estimated:
            self._estimated = True
            self.tell(self._estimate())

    def close_epoch(self, entries: Entries, *, evaluated: bool) -> None:
        """Ends an epoch; the second evaluation, unlike the first, says how long they take."""
        if self.disable or not evaluated:
            return
        self._describe(entries)
        self.refresh()
        if len(self._evaluations) > 1:
            return
        self._evaluations.append((self.n, time.monotonic()))
        if len(self._evaluations) == 2:
            (first, began), (last, ended) = self._evaluations
            left = self._end - last
            if left >= ESTIMATED_AFTER:
                seconds = left * (ended - began) / (last - first)
                # A stage, or `max_steps`, may end before the run does.
                until = "" if self._end == self.total else f" until step {self._end:,}"
                left = f"about {duration(seconds)} left{until}"
                self.tell(f"{left}, with evaluations and checkpoints")

    def tell(self, text: str) -> None:
        """Prints a line above the bar."""
        if not self.disable:
            self.write(text, file=sys.stderr)

    def _describe(self, entries: Entries) -> None:
        parts = [self._line]
        for part in ("val", "test"):
            errors = [entry.get(f"{part}_error") for entry in entries]
            if known := [error for error in errors if error is not None]:
                parts.append(f"{part} error {known[-1]:.2f} %")
        self.set_postfix_str(", ".join(filter(None, parts)), refresh=False)

    def _estimate(self) -> str:
        seconds = self._left * self._seconds / self._timed
        text = f"{self._left:,} steps take about {duration(seconds)}, without evaluations"
        if seconds <= LONG:
            return text
        return f"{text}; shorter with {', '.join(self._ways)}"


def ways_to_shorten(policy) -> list[str]:
    """Lists ways to shorten a long run with `policy`."""
    exact = policy.reads_meta and not policy.caches_features
    return [
        *("a smaller network", "smaller images (--image_size)", "fewer epochs"),
        *(["--policy=meta, which caches features"] if exact else []),
        *([] if tf.config.list_physical_devices("GPU") else ["a GPU"]),
    ]


def duration(seconds: float) -> str:
    """Formats a duration in its largest unit."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
