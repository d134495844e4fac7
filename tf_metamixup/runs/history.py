"""What a run has seen so far: one entry an epoch, and the lambdas by histogram and class pair."""

import functools
from typing import Any

import numpy as np

from tf_metamixup.core.metrics import Evaluation

BINS = 50
# Above this many classes the class-pair table is kept of the last epoch only.
# It is written at each epoch's end, so that its size counts.
PAIR_CLASSES = 20
# Columns of the rows that the step reports, one row a trained-on pair.
LAM, START, MOVE, CLASS_I, CLASS_J, ACCEPTED = range(6)
# What an epoch counts, in arrays of one shape.
COUNTS = ("before", "after", "pair_sum", "pair_count")
# In a history entry: the mean entropy of the mixed targets of pairs of one class each, in nats,
# before label smoothing. No network has a lower cross-entropy on them.
MIXING_ENTROPY = "mixing_entropy"


class Epoch:
    """Sums over the steps of an epoch that is under way."""

    def __init__(self, classes: int):
        self.sums: dict[str, np.ndarray] = {}
        self.before = np.zeros(BINS, np.int64)
        self.after = np.zeros(BINS, np.int64)
        self.pair_sum = np.zeros((classes, classes), np.float64)
        self.pair_count = np.zeros((classes, classes), np.int64)
        self.lambdas: list[np.ndarray] = []  # float32 [n, 2]: lambda, distance moved

    def add(self, metrics: dict[str, np.ndarray], rows: np.ndarray) -> None:
        """Takes in some steps: ratios [steps, 2] by name, and mixed rows [n, 6], see above."""
        # Nothing here may depend on how many steps one call took, which is a matter of time: a
        # resumed run takes other calls. Hence one addition after the other.
        for name, ratios in metrics.items():
            self.sums[name] = functools.reduce(np.add, ratios, self.sums.get(name, np.zeros(2)))
        rows = rows[rows[:, ACCEPTED] > 0]
        lam = rows[:, LAM].astype(np.float64)
        self.before += np.histogram(rows[:, START], BINS, (0, 1))[0]
        self.after += np.histogram(lam, BINS, (0, 1))[0]
        pair = rows[:, CLASS_I].astype(int), rows[:, CLASS_J].astype(int)
        np.add.at(self.pair_sum, pair, lam)
        np.add.at(self.pair_count, pair, 1)
        if len(lam):
            # Of targets of one class there is none. Bins would not do: 1/50 of the way from 0
            # to 1 the entropy has a seventh of its maximum.
            entropy = np.where(pair[0] == pair[1], 0.0, _entropy(lam) + _entropy(1 - lam))
            total = self.sums.setdefault(MIXING_ENTROPY, np.zeros(2))
            np.add.at(total, np.zeros(len(lam), int), entropy)
            total[1] += len(lam)
        self.lambdas.append(np.stack([rows[:, LAM], np.abs(rows[:, MOVE])], axis=1))

    def entry(self) -> dict[str, float | None]:
        """Returns the epoch so far, as a history entry."""
        values: dict[str, float | None] = {}
        for name, (numerator, denominator) in self.sums.items():
            values[name] = float(numerator / denominator) if denominator else None
        lam, move = self._lambdas().astype(np.float64).T
        some = len(lam) > 0
        return values | {
            "lambda_mean": float(lam.mean()) if some else None,
            "lambda_std": float(lam.std()) if some else None,
            "lambda_move_mean": float(move.mean()) if some else None,
            "lambda_move_p99": float(np.percentile(move, 99)) if some else None,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns everything, for a checkpoint."""
        return {
            "names": np.array(list(self.sums), str),
            "ratios": np.array(list(self.sums.values()), np.float64).reshape(-1, 2),
            **{name: getattr(self, name) for name in COUNTS},
            "lambdas": self._lambdas(),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Epoch":
        """Returns the inverse of `arrays`."""
        epoch = cls(len(arrays["pair_sum"]))
        epoch.sums = dict(zip(arrays["names"].tolist(), arrays["ratios"], strict=True))
        for name in COUNTS:
            setattr(epoch, name, arrays[name])
        epoch.lambdas = [arrays["lambdas"]]
        return epoch

    def _lambdas(self) -> np.ndarray:
        return np.concatenate([*self.lambdas, np.zeros((0, 2), np.float32)])


class History:
    """Holds the closed epochs of a run and the one under way.

    Attributes:
        entries: one object a closed epoch, as in `result.json`.
        open: the epoch under way.
        evaluation: the last one at an epoch's end; None before the first.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.entries: list[dict[str, Any]] = []
        self.open = Epoch(classes)
        self.evaluation: Evaluation | None = None
        self._closed = {
            "edges": np.linspace(0, 1, BINS + 1),
            "before": np.zeros((0, BINS), np.int64),
            "after": np.zeros((0, BINS), np.int64),
            "pair_epochs": np.zeros(0, np.int64),
            "pair_sum": np.zeros((0, classes, classes)),
            "pair_count": np.zeros((0, classes, classes), np.int64),
        }

    def close(self, extra: dict[str, Any], evaluation: Evaluation | None = None) -> dict[str, Any]:
        """Ends the open epoch; `extra` joins its entry, which is returned."""
        self.evaluation = evaluation or self.evaluation
        entry = self.preview(extra)
        if self.classes > PAIR_CLASSES:
            paired = ("pair_epochs", "pair_sum", "pair_count")
            self._closed |= {name: self._closed[name][:0] for name in paired}
        self._closed = self.lambdas(with_open=True)
        self.entries.append(entry)
        self.open = Epoch(self.classes)
        return entry

    def preview(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Returns the entry that the open epoch would have if it ended here."""
        return {"epoch": len(self.entries) + 1, **self.open.entry(), **extra}

    @property
    def last_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns sum and count of lambda by (class of x_i, class of x_j) in the last epoch."""
        return self._closed["pair_sum"][-1], self._closed["pair_count"][-1]

    def lambdas(self, *, with_open: bool = False) -> dict[str, np.ndarray]:
        """Returns the content of `lambdas.npz`.

        Returns:
            `edges` [51]; `before`, `after` [epochs, 50]: counts of lambda before and after the
            policy; `pair_epochs` [E] (from 1), `pair_sum`, `pair_count` [E, C, C]: lambda by class
            of x_i and class of x_j, of every epoch up to 20 classes, else of the last one.
        """
        if not with_open:
            return self._closed
        more = {name: getattr(self.open, name) for name in COUNTS}
        more["pair_epochs"] = len(self.entries) + 1
        return self._closed | {
            name: np.concatenate([self._closed[name], [value]]) for name, value in more.items()
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns everything but the entries, for a checkpoint."""
        opened = {f"open_{name}": value for name, value in self.open.arrays().items()}
        evaluated = self.evaluation._asdict() if self.evaluation else {}
        evaluated = {f"evaluation_{name}": value for name, value in evaluated.items()}
        return self.lambdas() | opened | evaluated

    @classmethod
    def from_arrays(
        cls, classes: int, entries: list[dict[str, Any]], arrays: dict[str, np.ndarray]
    ) -> "History":
        """Returns the inverse of `arrays`."""
        history = cls(classes)
        history.entries = list(entries)
        history._closed = {name: arrays[name] for name in history._closed}
        history.open = Epoch.from_arrays(_without_prefix("open_", arrays))
        if evaluated := _without_prefix("evaluation_", arrays):
            history.evaluation = Evaluation(**evaluated)
        return history


def _without_prefix(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Selects the arrays whose name has the prefix, by the rest of the name."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _entropy(p: np.ndarray) -> np.ndarray:
    """Computes -p log(p), 0 where p is."""
    return -p * np.log(np.where(p > 0, p, 1))
