"""From a user's data to the batches of the replicas."""

import functools
import re
import warnings

import tensorflow as tf

from tf_metamixup.core.autotuning import untuned
from tf_metamixup.core.errors import UserError, reason
from tf_metamixup.core.graph_checks import problem_of
from tf_metamixup.core.plurals import counted
from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.stream import Stream
from tf_metamixup.training.data_checks import labelled_dataset, unlabelled_dataset
from tf_metamixup.training.first_batch import first_batch, reading


def collect(trainer, *, labelled, unlabelled=None, meta=None) -> dict[str, Stream]:
    """Returns the streams that a step of `trainer` reads, by name; see `Trainer.fit`.

    Raises:
        UserError: data that is missing or that the model does not take.
    """
    given = {"labelled": labelled}
    if trainer.method.views:
        given["unlabelled"] = unlabelled
    if trainer.policy.reads_meta:
        given["meta"] = meta
    if trainer.method.judges and not isinstance(labelled, Stream):
        raise UserError(
            "an audit has to identify each image, but a tf.data.Dataset has no identifiers: give "
            "`labelled` as a stream of tf_metamixup.data"
        )
    # Streams of one data set come with all of its parts.
    if unlabelled is not None and "unlabelled" not in given:
        warnings.warn(f"method {trainer.method} does not use `unlabelled` data", stacklevel=2)
    if meta is not None and "meta" not in given and not isinstance(meta, Stream):
        warnings.warn(f"policy {trainer.policy} does not use `meta` data", stacklevel=2)
    for name, data in given.items():
        if data is None:
            by = f"policy {trainer.policy}" if name == "meta" else f"method {trainer.method}"
            raise UserError(f"{by} needs `{name}` data, but fit() was given none")
    streams = {name: _stream(trainer, name, data) for name, data in given.items()}
    if rows := streams["labelled"].batch_size:
        check_pairs(trainer, rows)
    return streams


def check_pairs(trainer, rows: int) -> None:
    """Refuses a global batch of `rows` that cannot be mixed within its row groups.

    Raises:
        UserError: no row has a partner, or the groups are not of one size.
    """
    groups, mixes = trainer.row_groups, trainer.policy.mixes or trainer.method.learns_lambda
    if mixes and rows < 2 * groups:
        raise UserError(
            f"a batch of {rows} in {counted(groups, 'row group')} has no pairs to mix: use batches "
            f"of at least {2 * groups}, or policy none"
        )
    if rows % groups:
        raise UserError(f"a batch of {rows} cannot be split evenly into {groups} row groups")


def _stream(trainer, name: str, data) -> Stream:
    if isinstance(data, Stream):
        return data
    shape, classes = trainer.model.input_shape, trainer.classes
    if name == "unlabelled":
        batches = unlabelled_dataset(data, shape, classes, trainer.method.views)
    else:
        batches = labelled_dataset(name, data, shape, classes)
    return DatasetStream(batches, name)


def image_spec(stream: Stream) -> tf.TensorSpec:
    """Returns the images of a stream as they are stored, any number of them."""
    spec = stream.shards(0, range(1), 1).element_spec[0]
    stored = tf.float32 if spec.dtype.is_floating else spec.dtype
    return tf.TensorSpec([None, *spec.shape[1:]], stored)


def whole_meta_set(stream: Stream, groups: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns all (images, labels) of the meta set that can be sharded evenly to `groups`."""
    with reading("meta"):
        images, labels = stream.whole()
    rows = len(images) // groups * groups
    return images[:rows], labels[:rows]


def explain(streams: dict[str, Stream], error: tf.errors.OpError) -> None:
    """Raises UserError where `error`, of a graph that reads `streams`, is one of reading them."""
    if "IteratorGetNext" not in error.message:
        return
    if problem := problem_of(error):
        raise UserError(problem) from None
    for name, stream in streams.items():
        first_batch(name, stream.shards(0, range(1), 1))
    # The cause stands before the node that it came up in, below a stack of calls.
    cause = re.search(r"([^\n]+)\n\s*\[\[\{\{node", error.message)
    message = cause[1].strip().rpartition("UnreadableError: ")[2] if cause else reason(error)
    raise UserError(f"the training data cannot be read: {message}") from None


def distribute(strategy: tf.distribute.Strategy, streams: dict[str, Stream], start_step: int):
    """Returns a data set of the streams' batches from `start_step` on, distributed to replicas."""
    count = strategy.num_replicas_in_sync

    # Asked again for each iterator; building the graph of a data set takes a while.
    @functools.cache
    def sharded(first: int, shard_ids: int) -> tf.data.Dataset:
        shards = {
            name: stream.shards(start_step, range(first, first + shard_ids), count)
            for name, stream in streams.items()
        }
        return untuned(tf.data.Dataset.zip(shards)).prefetch(2)

    if count == 1:
        # Directly: the iterator of a distributed data set tunes itself, and may end a minute late.
        return sharded(0, 1)

    def dataset(context):
        shard_ids = count // context.num_input_pipelines
        return sharded(context.input_pipeline_id * shard_ids, shard_ids)

    return strategy.distribute_datasets_from_function(dataset)


def padded(images, labels, multiple: int):
    """Returns the rows filled up to a multiple, and a mask of the real ones."""
    rows = tf.shape(images)[0]
    missing = -rows % multiple
    filled = tf.minimum(tf.range(rows + missing), rows - 1)
    real = tf.cast(tf.range(rows + missing) < rows, tf.float32)
    return tf.gather(images, filled), tf.gather(labels, filled), real
