"""Random numbers as functions of (run seed, purpose, step, global row): no generator has a state.

A resumed run therefore repeats the numbers of an uninterrupted one, and the replicas of a global
batch repeat what one device would draw for the whole of it: each draws for all rows and keeps its
own. Philox is named where TensorFlow asks, because its default differs between devices; gamma draws
do not ask.
"""

import dataclasses
import zlib

import tensorflow as tf

ALGORITHM = "philox"

# A layer's random seed in one forward pass is [seed of the step, replica * CALLS + number of the
# call]: `RowDropout` ignores the replica, Keras's own layers draw other numbers on each.
CALLS = 65_536


def fold(seed: tf.Tensor, data: str | int | tf.Tensor) -> tf.Tensor:
    """A new seed, int64 [2], from `seed` and a purpose (a string) or a counter (an integer).

    Its first half depends on `seed` alone and its second is `data`: both halves make the seed.
    """
    if isinstance(data, str):
        data = zlib.crc32(data.encode())
    return tf.random.experimental.stateless_fold_in(
        tf.cast(seed, tf.int64), tf.cast(data, tf.int64), alg=ALGORITHM
    )


def root(seed: int) -> tf.Tensor:
    """The seed, int64 [2], that all others of a run are folded from."""
    return tf.constant([seed, 0], tf.int64)


def permutation(size: int, seed: tf.Tensor) -> tf.Tensor:
    """A random order of `range(size)`, int64 [size]."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(size, dtype=tf.int64), seed, alg=ALGORITHM
    )


@dataclasses.dataclass(frozen=True)
class Draws:
    """The random numbers of one step, for the rows of one piece of the global batch.

    Attributes:
        seed: int64 [2], of this run and step.
        piece: which of the `pieces` equal, contiguous parts of the global batch the rows are.
        pieces: into how many parts the global batch is dealt.
    """

    seed: tf.Tensor
    piece: int | tf.Tensor = 0
    pieces: int = 1

    @classmethod
    def at(cls, run_seed: int, step: tf.Tensor, piece=0, pieces: int = 1) -> "Draws":
        """The draws of step `step` of the run with seed `run_seed`."""
        return cls(fold(root(run_seed), step), piece, pieces)

    def shared(self) -> "Draws":
        """Draws that are the same in every piece: of the step, not of its rows."""
        return dataclasses.replace(self, piece=0, pieces=1)

    def uniform(self, purpose: str, rows, shape=(), dtype=tf.float32) -> tf.Tensor:
        """U[0, 1), [rows, *shape]; `rows` counts the local rows."""
        return self._own(
            rows,
            tf.random.stateless_uniform(
                self._all(rows, shape), fold(self.seed, purpose), dtype=dtype, alg=ALGORITHM
            ),
        )

    def normal(
        self, purpose: str, rows, shape=(), dtype=tf.float32, *, truncated=False
    ) -> tf.Tensor:
        """N(0, 1), [rows, *shape]; `truncated` redraws what lies beyond two deviations."""
        draw = tf.random.stateless_truncated_normal if truncated else tf.random.stateless_normal
        values = draw(self._all(rows, shape), fold(self.seed, purpose), dtype=dtype, alg=ALGORITHM)
        return self._own(rows, values)

    def integers(self, purpose: str, rows, low: int, high: int, shape=()) -> tf.Tensor:
        """Uniform integers in [low, high), int32 [rows, *shape]."""
        return self._own(
            rows,
            tf.random.stateless_uniform(
                self._all(rows, shape), fold(self.seed, purpose), low, high, tf.int32, alg=ALGORITHM
            ),
        )

    def beta(self, purpose: str, rows, alpha: float, dtype=tf.float32) -> tf.Tensor:
        """Beta(alpha, alpha), [rows], from two gamma draws."""
        if alpha == 1.0:
            return self.uniform(purpose, rows, dtype=dtype)
        # In float64 both draws underflow together only for alpha far below any in use.
        first, second = tf.unstack(
            tf.random.stateless_gamma(
                self._all(rows, (2,)), fold(self.seed, purpose), alpha, dtype=tf.float64
            ),
            axis=1,
        )
        both = first + second
        value = tf.where(both > 0, tf.math.divide_no_nan(first, both), 0.5)
        return self._own(rows, tf.cast(value, dtype))

    def _all(self, rows, shape) -> tf.Tensor:
        return tf.concat([[tf.cast(rows, tf.int32) * self.pieces], tf.cast(shape, tf.int32)], 0)

    def _own(self, rows, values: tf.Tensor) -> tf.Tensor:
        first = tf.cast(self.piece, tf.int32) * rows
        return values[first : first + rows]
