"""Dropout whose mask does not depend on how many replicas share the batch."""

import keras
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import CALLS, Draws
from tf_metamixup.distribution import replicas


@keras.saving.register_keras_serializable(package="tf_metamixup")
class RowDropout(keras.layers.Dropout):
    """Drops values as `keras.layers.Dropout`, by the seed and the row of the GLOBAL batch.

    Each replica draws the mask of all replicas' rows and keeps its own: replica r of n local rows
    has the global rows [r * n, (r + 1) * n). Two replicas then drop what one device would drop.

    Arguments are those of Keras; `noise_shape` begins with None, as each row has its own mask.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(rate, noise_shape, seed, **kwargs)
        if self.noise_shape is not None and self.noise_shape[0] is not None:
            raise UserError(
                f"RowDropout: noise_shape={self.noise_shape} must begin with None (the rows); "
                "use keras.layers.Dropout for a mask that rows share"
            )

    def call(self, inputs, training=False):
        """Returns values [N, ...], of the input's shape and dtype."""
        if not training or self.rate == 0:
            return inputs
        state = self.seed_generator.next()
        seed = tf.stack([state[0], state[1] % CALLS])
        draws = Draws(seed, replicas.index(), replicas.count())
        rows, *shape = tf.unstack(tf.shape(inputs))
        if self.noise_shape is not None:
            shape = [
                actual if given is None else given
                for actual, given in zip(shape, self.noise_shape[1:], strict=True)
            ]
        kept = draws.uniform("dropout", rows, shape) >= self.rate
        # At rate 1 nothing is kept, and 0 / 0 is 0.
        scale = tf.math.divide_no_nan(tf.cast(kept, inputs.dtype), 1 - self.rate)
        return inputs * scale
