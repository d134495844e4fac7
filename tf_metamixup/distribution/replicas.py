"""What data-parallel replicas share: who am I, and sums and means over the global batch.

Inside `strategy.run` the functions speak for all replicas; elsewhere there is one.
"""

import tensorflow as tf


def index() -> int | tf.Tensor:
    """Returns this replica's number."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group if context else 0


def count() -> int:
    """Returns the number of replicas that share the global batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def total(values):
    """Sums a tensor or a nested structure of tensors over replicas; differentiable."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def mean(values):
    """Averages a tensor or a nested structure of tensors over replicas."""
    if count() == 1:
        return values
    return tf.nest.map_structure(lambda value: value / count(), total(values))


def global_mean(values: tf.Tensor) -> tf.Tensor:
    """Returns this replica's summand of the mean of `values` [n] over the global batch.

    Gradients and losses are summed over replicas, so every loss is divided by the global size.
    """
    rows = tf.cast(tf.size(values) * count(), values.dtype)
    return tf.reduce_sum(values) / rows
