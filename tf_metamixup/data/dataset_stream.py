"""A user's own `tf.data.Dataset` as a stream."""

import tensorflow as tf

from tf_metamixup.core.autograph import unconverted
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.graph_checks import required
from tf_metamixup.data.stream import Stream


class DatasetStream(Stream):
    """Repeats a user's own `tf.data.Dataset` of global batches, of any structure, forever.

    It is as deterministic as the data set is; resuming runs through the batches it skips.
    """

    def __init__(self, dataset: tf.data.Dataset, name: str = "labelled", *, repeat: bool = True):
        """Takes global batches: every tensor's first axis counts the rows; `name` is for errors."""
        self._dataset, self._name = dataset, name
        self._repeat = repeat
        self.batch_size = tf.nest.flatten(dataset.element_spec)[0].shape[0]

    @unconverted
    def shards(self, start_step: int, shard_ids: range, num_shards: int) -> tf.data.Dataset:
        """Splits every batch into `num_shards` blocks of consecutive rows.

        Raises:
            UserError: for a batch size that `num_shards` does not divide; where it is known only
                when the batch is there, or is 0, `tf.errors.InvalidArgumentError` says so: see
                `graph_checks.problem_of`.
        """
        uneven = (
            f"a batch cannot be split evenly over {num_shards} replicas: drop a short one with "
            ".batch(n, drop_remainder=True); rows:"
        )
        empty = "a batch has no rows: filter images before batch(), not after it"
        if self.batch_size is not None and self.batch_size % num_shards:
            raise UserError(f"in the `{self._name}` data, {uneven} {self.batch_size}")

        def block(tensor):
            rows = tf.shape(tensor)[0]
            # Of no rows `unbatch` would end the process.
            with (
                required(rows > 0, self._name, empty),
                required(rows % num_shards == 0, self._name, uneven, rows),
            ):
                sharded = tf.reshape(
                    tensor, tf.concat([[num_shards, rows // num_shards], tf.shape(tensor)[1:]], 0)
                )
            whole = tensor.shape[0]
            sharded.set_shape([num_shards, whole and whole // num_shards, *tensor.shape[1:]])
            return tf.gather(sharded, list(shard_ids))

        def split(*element):
            unpacked = isinstance(self._dataset.element_spec, tuple)
            return tf.nest.map_structure(block, element if unpacked else element[0])

        batches = self._dataset.repeat() if self._repeat else self._dataset
        return batches.skip(start_step).map(split).unbatch().prefetch(4)

    def beginning(self) -> Stream:
        """Returns the first batch alone.

        A data set that is reshuffled in each pass counts the passes. Looking at it counts as one;
        of the endless stream a pipeline would read ahead into several.
        """
        return DatasetStream(self._dataset.take(1), self._name, repeat=False)

    def whole(self):
        """Reads the data set once.

        Raises:
            UserError: it is known to have no end, or has nothing in it.
        """
        if self._dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise UserError(
                "data that is kept in memory, such as a meta set, must be finite, but this data "
                "set repeats forever: remove repeat()"
            )
        batches = list(self._dataset)
        if not batches:
            raise UserError("a data set to be kept in memory, such as a meta set, is empty")
        images, labels = zip(*batches, strict=True)
        return tf.concat(images, 0), tf.concat(labels, 0)
