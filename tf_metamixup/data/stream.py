"""What training reads: batches that can begin at any step, in any number of shards."""

import abc
import functools

import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError


class Stream(abc.ABC):
    """Gives global batches, split into equal shards.

    Attributes:
        batch_size: rows of a global batch; None where a user's data set does not tell.
    """

    batch_size: int | None

    @abc.abstractmethod
    def shards(self, start_step: int, shard_ids: range, num_shards: int) -> tf.data.Dataset:
        """Yields, for each step from `start_step` on, the shards `shard_ids`, an element each.

        Args:
            start_step: where a resumed run goes on; 0 is the beginning.
            shard_ids: which of the shards, ascending.
            num_shards: how many shards a global batch of b rows is split into; shard p holds its
                rows [p * b / num_shards, (p + 1) * b / num_shards).
        """

    def beginning(self) -> "Stream":
        """Returns a stream with the same first batch, whose reading leaves this one alone."""
        return self

    @functools.cached_property
    def labels(self) -> tf.Tensor:
        """Returns the labels of `whole`."""
        return self.whole()[1]

    @functools.cached_property
    def untrusted(self) -> np.ndarray:
        """Returns which images of `whole` have labels that nobody has checked, bool [N]: all."""
        return np.ones(len(self.labels), bool)

    def numbered(self, first: int = 0) -> "Stream":
        """Returns the same images, each with `first` + its position in `whole` for its label.

        Raises:
            UserError: the stream does not know them.
        """
        raise UserError(
            "an audit has to identify each image, but this data set is read from files during "
            "training: an audit needs images that fit into memory"
        )

    def read(self, positions: tf.Tensor) -> tf.Tensor:
        """Returns the images at ascending `positions` of `whole`, int [n], as they are stored."""
        return tf.gather(self.whole()[0], positions)

    @abc.abstractmethod
    def whole(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns all (images, labels), each image once, as they are stored."""
