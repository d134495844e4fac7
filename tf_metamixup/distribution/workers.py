"""The processes of one job: which of them writes, and what they tell each other between steps.

All of them run the same program, and talk through the collective operations of the strategy: each
must make the same calls in the same order. A single process is a job of one worker.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import replicas

_PIECE = 2**24  # words that one collective operation carries
# What TensorFlow raises where another worker has gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class LostWorkerError(UserError):
    """Says that another worker of the job has gone."""


class Workers:
    """Represents this process among the workers of its job.

    Attributes:
        count: how many workers there are.
        index: which of them this one is.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self.count, self.index = _place(strategy.cluster_resolver)
        if self.count == 1:
            return
        self._table = tf.function(
            lambda row: self._replicated(_in_own_row, row),
            input_signature=[tf.TensorSpec([None], tf.int64)],
        )
        self._sum = tf.function(
            lambda words: self._replicated(_of_first_replica, words),
            input_signature=[tf.TensorSpec([None], tf.int32)],
        )

    @property
    def chief(self) -> bool:
        """Returns whether this worker is the one that writes."""
        return self.index == 0

    def exchange(self, numbers: Sequence[int]) -> np.ndarray:
        """Returns the `numbers` of all workers, int64 [workers, n]."""
        if self.count == 1:
            return np.array([numbers], np.int64)
        with self.watched():
            table = self._table(tf.constant(numbers, tf.int64)).numpy()
        return table[:: len(table) // self.count]

    def from_chief(self, content: bytes) -> bytes:
        """Returns what the chief gives as `content`, on all workers."""
        if self.count == 1:
            return content
        length = int(self.exchange([len(content)])[0, 0])
        words = np.zeros(-(-length // 4), np.int32)
        if self.chief:
            words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
        with self.watched():
            pieces = [
                self._sum(tf.constant(words[first : first + _PIECE])).numpy()
                for first in range(0, len(words), _PIECE)
            ]
        return b"".join(piece.tobytes() for piece in pieces)[:length]

    def gather(self, rows) -> tf.Tensor:
        """Gathers the rows of all replicas, in their order; in a graph, one value per replica."""
        if self.count == 1:
            return tf.concat(self._strategy.experimental_local_results(rows), axis=0)
        return self._strategy.gather(rows, axis=0)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Makes a block succeed on all workers or on none.

        Raises:
            UserError: of the block itself, or that another worker raised one.
        """
        try:
            yield
        except UserError:
            self.exchange([1])
            raise
        failed = np.flatnonzero(self.exchange([0])[:, 0])
        if len(failed):
            raise UserError(
                f"worker {failed[0]} of {self.count} could not go on; its own message says why"
            )

    def check_same(self, **what: Any) -> None:
        """Refuses workers of which not all have the same JSON values, by name."""
        digests = [
            int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
            for text in (json.dumps(value, sort_keys=True) for value in what.values())
        ]
        table = self.exchange(digests)
        worker, number = np.argwhere(np.vstack([table != table[0], [[True] * len(what)]]))[0]
        if worker < self.count:
            raise UserError(
                f"worker {worker} of {self.count} has other {list(what)[number]} than worker 0; "
                "all must run the same command, on the same version and the same data"
            )

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Reports the loss of another worker during a block of steps as what it is.

        Raises:
            LostWorkerError: another worker has gone.
        """
        try:
            yield
        except LOST as error:
            if self.count == 1:
                raise
            raise LostWorkerError(
                f"worker {self.index} of {self.count} has lost another one, which was killed or "
                "cannot be reached; its own log says why. The checkpoints are intact: start all "
                "workers again with the same command"
            ) from error

    def _replicated(self, function, values):
        found = self._strategy.run(function, (values,))
        return self._strategy.experimental_local_results(found)[0]


def _place(resolver) -> tuple[int, int]:
    """Returns (number of workers, index of this one); a `chief` task is the first."""
    jobs = resolver.cluster_spec().as_dict() if resolver else {}
    chiefs, workers = len(jobs.get("chief", [])), len(jobs.get("worker", []))
    if chiefs + workers <= 1:
        return 1, 0
    return chiefs + workers, resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)


def _in_own_row(numbers: tf.Tensor) -> tf.Tensor:
    own = tf.one_hot(replicas.index(), replicas.count(), dtype=numbers.dtype)
    return replicas.total(own[:, None] * numbers)


def _of_first_replica(words: tf.Tensor) -> tf.Tensor:
    return replicas.total(tf.where(tf.equal(replicas.index(), 0), words, 0))
