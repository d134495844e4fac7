"""What every method is, and what it may leave at its default."""

from typing import ClassVar

import tensorflow as tf

from tf_metamixup import losses, replicas
from tf_metamixup.batch import Batch
from tf_metamixup.mixing import Examples
from tf_metamixup.network import Forward
from tf_metamixup.registry import Registry
from tf_metamixup.schedules import Clock

METHODS = Registry("method")


class Ratio(tuple):
    """A metric as (numerator, denominator): both are summed over replicas and steps."""

    def __new__(cls, numerator, denominator=1.0):
        """Casts both to float64 scalars, so that long sums keep their digits."""
        return super().__new__(
            cls, (tf.cast(numerator, tf.float64), tf.cast(denominator, tf.float64))
        )


class Method:
    """A method is a frozen dataclass whose fields are its hyper-parameters.

    Attributes:
        views: how many augmented views of each unlabelled image it wants; 0 wants none.
    """

    views: ClassVar[int] = 0

    def examples(self, forward: Forward, batch: Batch, clock: Clock, groups: int) -> Examples:
        """What is mixed and trained on; targets are fixed here, without a gradient.

        Args:
            forward: the network at the current weights; what this pass does to its state is lost.
            batch: this replica's rows.
            clock: when the step happens.
            groups: the number of row groups among them.
        """
        raise NotImplementedError

    def loss(self, forward: Forward, examples: Examples, batch: Batch, clock: Clock) -> tf.Tensor:
        """This replica's summand of the loss on mixed `examples`: weighted CE over B (eq. 12).

        The first call of `forward` is the one whose BatchNorm statistics are kept.
        """
        del clock
        each = losses.cross_entropy(examples.y, forward(examples.x))
        return tf.reduce_sum(examples.weight * each) / tf.cast(batch_size(batch), each.dtype)

    def metrics(self, examples: Examples, batch: Batch, clock: Clock) -> dict[str, Ratio]:
        """What to watch beside the loss."""
        del examples, batch, clock
        return {}


def batch_size(batch: Batch) -> tf.Tensor:
    """B, the global number of labelled rows."""
    return tf.shape(batch.x)[0] * replicas.count()
