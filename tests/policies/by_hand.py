"""A task small enough to be worked out by hand."""

import tensorflow as tf

from tf_metamixup.core.rng import Draws
from tf_metamixup.policies import Task

DRAWS = Draws.at(0, tf.constant(0))
ETA = 0.1


def task(accepted=(True, True, True, False), learning_rate=ETA, **more):
    """One weight w = 0; row i pulls it by lam_i * s_i, s = (1, 2, -1, 5); the meta loss is w."""
    pull = tf.constant([1.0, 2.0, -1.0, 5.0], tf.float64) * tf.cast(accepted, tf.float64)
    given = {
        "theta": [tf.constant(0.0, tf.float64)],
        "inner": lambda theta, lam: tf.reduce_sum(lam * pull) * theta[0] / 4,
        "outer": lambda theta: theta[0],
        "head": (0,),
    }
    return Task(
        learning_rate=tf.constant(learning_rate, tf.float64),
        accepted=tf.constant(accepted),
        batch_size=tf.constant(4),
        permutation_groups=tf.cast(accepted, tf.int32),
        **given | more,
    )
