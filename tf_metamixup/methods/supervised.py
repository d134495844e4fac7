"""Training on the labelled images alone (Alg. 1)."""

import dataclasses

import tensorflow as tf

from tf_metamixup.methods.method import METHODS, Method
from tf_metamixup.mixing import Examples


@METHODS.register("supervised")
@dataclasses.dataclass(frozen=True)
class Supervised(Method):
    """Cross-entropy on the labelled batch: Baseline, MixUp, MetaMixUp and Supervised-Only."""

    def examples(self, forward, batch, clock, groups):
        """The labelled batch as it is."""
        del forward, clock
        rows = tf.shape(batch.x)[:1]
        return Examples(
            x=batch.x,
            y=batch.y,
            weight=tf.ones(rows, batch.y.dtype),
            stream=tf.zeros(rows, tf.int32),
            groups=groups,
        )
