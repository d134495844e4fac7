"""Random numbers as functions of (run seed, purpose, step, global row): no generator has a state.

A resumed run therefore repeats the numbers of an uninterrupted one, and the replicas of a global
batch repeat what one device would draw for the whole of it: each draws for all rows and keeps its
own. Philox is named everywhere, because TensorFlow's default differs between devices, and all that
is taken from it are bits: what TensorFlow makes of them differs from what its compiler XLA makes of
them, and XLA has not all distributions.
"""

import dataclasses
import math
import zlib

import numpy as np
import tensorflow as tf

ALGORITHM = "philox"

# Random bits that a uniform draw of a type is made of: those of its mantissa.
DIGITS = {tf.float16: 10, tf.bfloat16: 7, tf.float32: 23, tf.float64: 52}
TAIL = math.erfc(math.sqrt(2)) / 2  # a normal draw's probability to lie below -2

# A layer's random seed in one forward pass is [seed of the step, replica * CALLS + number of the
# call]: `RowDropout` ignores the replica, Keras's own layers draw other numbers on each.
CALLS = 65_536


def fold(seed: tf.Tensor, data: str | int | tf.Tensor) -> tf.Tensor:
    """Derives a seed, int64 [2], from `seed` and a purpose (string) or a counter (integer).

    Its first half depends on `seed` alone and its second is `data`: both halves make the seed.
    """
    if isinstance(data, str):
        data = zlib.crc32(data.encode())
    return tf.random.experimental.stateless_fold_in(
        tf.cast(seed, tf.int64), tf.cast(data, tf.int64), alg=ALGORITHM
    )


def root(seed: int) -> tf.Tensor:
    """Returns the seed, int64 [2], that all others of a run are folded from."""
    return tf.constant([seed, 0], tf.int64)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Returns NumPy's generator for what is drawn once, while the data are prepared."""
    return np.random.default_rng([seed % 2**64, zlib.crc32(purpose.encode())])


def permutation(size: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws a random order of `range(size)`, int64 [size]."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(size, dtype=tf.int64), seed, alg=ALGORITHM
    )


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws the random numbers of one step, for the rows of one shard of the global batch.

    Attributes:
        seed: int64 [2], of this run and step.
        shard: which of the `num_shards` equal, contiguous parts of the global batch the rows are.
        num_shards: into how many parts the global batch is split.
    """

    seed: tf.Tensor
    shard: int | tf.Tensor = 0
    num_shards: int = 1

    @classmethod
    def at(cls, run_seed: int, step: tf.Tensor, shard=0, num_shards: int = 1) -> "Draws":
        """Returns the draws of step `step` of the run with seed `run_seed`."""
        return cls(fold(root(run_seed), step), shard, num_shards)

    def shared(self) -> "Draws":
        """Returns draws that are the same in every shard: of the step, not of its rows."""
        return dataclasses.replace(self, shard=0, num_shards=1)

    def uniform(self, purpose: str, rows, shape=(), dtype=tf.float32) -> tf.Tensor:
        """Draws U[0, 1), [rows, *shape], multiples of 2^-d; `rows` counts the local rows."""
        digits, bits = DIGITS[dtype], tf.int64 if dtype == tf.float64 else tf.int32
        drawn = tf.random.stateless_uniform(
            self._all(rows, shape), fold(self.seed, purpose), None, None, bits, alg=ALGORITHM
        )
        drawn = tf.bitwise.bitwise_and(drawn, tf.constant(2**digits - 1, bits))
        return self._own(rows, tf.cast(drawn, dtype) * tf.constant(2.0**-digits, dtype))

    def normal(
        self, purpose: str, rows, shape=(), dtype=tf.float32, *, truncated=False
    ) -> tf.Tensor:
        """Draws N(0, 1), [rows, *shape]; `truncated` has no mass beyond two deviations."""
        exact = tf.float64 if dtype == tf.float64 else tf.float32
        # In the middle of its step, p is never 0.
        p = self.uniform(purpose, rows, shape, exact) + 2.0 ** -(DIGITS[exact] + 1)
        if truncated:
            tail = tf.cast(TAIL, exact)
            p = tail + (1 - 2 * tail) * p
        return tf.cast(tf.math.ndtri(p), dtype)

    def integers(self, purpose: str, rows, low: int, high: int, shape=()) -> tf.Tensor:
        """Draws uniform integers in [low, high), int32 [rows, *shape]."""
        return self._own(
            rows,
            tf.random.stateless_uniform(
                self._all(rows, shape), fold(self.seed, purpose), low, high, tf.int32, alg=ALGORITHM
            ),
        )

    def beta(self, purpose: str, rows, alpha: float, dtype=tf.float32) -> tf.Tensor:
        """Draws Beta(alpha, alpha), [rows]: uniform at alpha 1, else from two uniform draws.

        With w = u^(1 / alpha) and c = cos(2 pi v), r = |c| sqrt((1 - w) / (w + (1 - w) c^2)) is
        |2 lambda - 1|: (2 lambda - 1) / sqrt(1 - (2 lambda - 1)^2) is Student's t with 2 alpha
        degrees of freedom over sqrt(2 alpha), which is sqrt(1 / w - 1) c (Bailey 1994).
        """
        if alpha == 1.0:
            return self.uniform(purpose, rows, dtype=dtype)
        u, v = tf.unstack(self.uniform(purpose, rows, (2,), tf.float64), axis=1)
        w, c = tf.pow(u, 1 / alpha), tf.cos(2 * math.pi * v)
        # 1 - r^2, so that what is near 0 keeps its digits.
        rest = tf.math.divide_no_nan(w, w + (1 - w) * c**2)
        smaller = rest / (2 * (1 + tf.sqrt(1 - rest)))
        return tf.cast(tf.where(c < 0, smaller, 1 - smaller), dtype)

    def _all(self, rows, shape) -> tf.Tensor:
        return tf.concat([[tf.cast(rows, tf.int32) * self.num_shards], tf.cast(shape, tf.int32)], 0)

    def _own(self, rows, values: tf.Tensor) -> tf.Tensor:
        first = tf.cast(self.shard, tf.int32) * rows
        return values[first : first + rows]
