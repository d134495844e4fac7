import tensorflow as tf

from tf_metamixup.core.autotuning import untuned
from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.streamed import examples_of
from tf_metamixup.training import inputs


class Replicas:
    """Hands out what each worker reads, of which there is one."""

    def __init__(self, count):
        self.num_replicas_in_sync = count

    def distribute_datasets_from_function(self, function):
        return function(tf.distribute.InputContext())


class Builder:
    """Has two examples."""

    def as_dataset(self, **options):
        return tf.data.Dataset.range(2)


def test_no_thread_tunes_what_is_read():
    batches = tf.data.Dataset.range(8).batch(2)
    streams = {"labelled": DatasetStream(batches)}
    read = [inputs.distribute(Replicas(count), streams, 0) for count in (1, 2)]
    for data in (untuned(batches), *read, examples_of(Builder(), "train")):
        assert data.options().autotune.enabled is False


def test_one_replica_reads_a_plain_data_set():
    streams = {"labelled": DatasetStream(tf.data.Dataset.range(8).batch(2))}
    data = inputs.distribute(tf.distribute.MirroredStrategy(["CPU:0"]), streams, 0)
    assert isinstance(data, tf.data.Dataset)
