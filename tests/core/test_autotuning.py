import tensorflow as tf

from tf_metamixup.core.autotuning import untuned
from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.streamed import examples_of
from tf_metamixup.training import inputs


class OneReplica:
    num_replicas_in_sync = 1

    def distribute_datasets_from_function(self, function):
        return function(tf.distribute.InputContext())


class Builder:
    """Has two examples."""

    def as_dataset(self, **options):
        return tf.data.Dataset.range(2)


def test_no_thread_tunes_what_is_read():
    batches = tf.data.Dataset.range(8).batch(2)
    distributed = inputs.distribute(OneReplica(), {"labelled": DatasetStream(batches)}, 0)
    for data in (untuned(batches), distributed, examples_of(Builder(), "train")):
        assert data.options().autotune.enabled is False
