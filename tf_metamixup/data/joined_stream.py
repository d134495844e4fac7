"""Batches of which a share comes from checked images."""

import numpy as np
import tensorflow as tf

from tf_metamixup import mixing
from tf_metamixup.core.autograph import unconverted
from tf_metamixup.data.stream import Stream


class JoinedStream(Stream):
    """Joins two streams in every row group of a batch: first rows of `noisy`, then of `trusted`.

    Args:
        noisy: images whose labels may be wrong.
        trusted: images whose labels were checked; in `whole` they stand behind the others.
        groups: the number of row groups of a batch, a multiple of the shards.
    """

    def __init__(self, noisy: Stream, trusted: Stream, groups: int = 1):
        self._parts, self._groups = (noisy, trusted), groups
        self.batch_size = noisy.batch_size + trusted.batch_size

    @property
    def labels(self):
        return tf.concat([part.labels for part in self._parts], axis=0)

    @property
    def untrusted(self):
        noisy, trusted = self._parts
        return np.append(noisy.untrusted, np.zeros(len(trusted.labels), bool))

    @unconverted
    def shards(self, start_step: int, shard_ids: range, num_shards: int) -> tf.data.Dataset:
        parts = tuple(part.shards(start_step, shard_ids, num_shards) for part in self._parts)
        groups = max(1, self._groups // num_shards)
        return tf.data.Dataset.zip(parts).map(
            lambda *rows: tuple(mixing.join(groups, *each) for each in zip(*rows, strict=True))
        )

    def numbered(self, first: int = 0) -> Stream:
        noisy, trusted = self._parts
        trusted = trusted.numbered(first + len(noisy.labels))
        return JoinedStream(noisy.numbered(first), trusted, self._groups)

    def read(self, positions):
        noisy, trusted = self._parts
        behind = positions >= len(noisy.labels)
        first, last = positions[~behind], positions[behind] - len(noisy.labels)
        return tf.concat([noisy.read(first), trusted.read(last)], axis=0)

    def whole(self):
        images, labels = zip(*(part.whole() for part in self._parts), strict=True)
        return tf.concat(images, axis=0), tf.concat(labels, axis=0)
