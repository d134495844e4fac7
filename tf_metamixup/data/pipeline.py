"""Endless streams of training batches, each a function of (seed, purpose, step, global row).

Nothing here has a state to checkpoint: `Stream.shards(step, ...)` begins at any step, and the
shards that several replicas own add up to the batch that one device would see.
"""

import copy
from collections.abc import Callable, Collection

import numpy as np
import tensorflow as tf

from tf_metamixup.core.autograph import unconverted
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws, fold, permutation, root
from tf_metamixup.data import augment
from tf_metamixup.data.images import InMemory
from tf_metamixup.data.stored_files import StoredFiles
from tf_metamixup.data.stream import Stream
from tf_metamixup.data.streamed import Streamed

_ENDLESS = tf.int64.max
_SHUFFLE_BUFFER = 16_384  # encoded images


class _Sampled(Stream):
    """Lays seeded passes over `indices` end to end and cuts them into batches: none is dropped."""

    def __init__(
        self,
        indices: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        purpose: str,
        views: int = 0,
        flip: bool = False,
        shift: int = 0,
        strong: Collection[int] = (),
        checked: Collection[int] = (),
    ):
        """Takes the options of `stream`.

        Raises:
            UserError: for a batch larger than the data.
        """
        if batch_size > len(indices):
            raise UserError(
                f"a batch of {batch_size} {purpose} images is larger than the {len(indices)} there "
                "are; lower the batch size"
            )
        self.batch_size = batch_size
        self._count = len(indices)
        self.untrusted = ~np.isin(np.unique(indices), checked)
        self._seed = seed
        self._purpose = purpose
        self._views = views
        self._flip = flip
        self._shift = shift
        self._strong = strong

    def _rows(self, num_shards: int) -> int:
        if self.batch_size % num_shards:
            raise UserError(
                f"a batch of {self.batch_size} cannot be split into {num_shards} equal shards"
            )
        return self.batch_size // num_shards

    def _augmented(self, images: list[tf.Tensor], step, shard, num_shards: int) -> tf.Tensor:
        """Augments a tensor [n, H, W, C] per view: [n, H, W, C], or [n, V, H, W, C] with views."""
        draws = Draws.at(self._seed, step, shard, num_shards)
        views = [
            augment.augment(
                x,
                draws,
                f"augment/{self._purpose}/{view}",
                flip=self._flip,
                shift=self._shift,
                strong=view in self._strong,
            )
            for view, x in enumerate(images)
        ]
        return tf.stack(views, 1) if self._views else views[0]


class ArrayStream(_Sampled):
    """Makes batches of images in memory: x uint8 [n, (V,) H, W, C], y int64 [n]."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray, **options):
        """Takes the options of `stream`."""
        super().__init__(indices, **options)
        # One tensor on the host, which the pipeline gathers whole batches from. On the CPU it
        # shares the memory of the array, so that all streams together hold one copy of their parts.
        unique, places = np.unique(indices, return_inverse=True)
        self._read = _reader(images[unique])
        with tf.device("CPU:0"):
            self.labels = tf.convert_to_tensor(labels[unique], tf.int64)
            self._places = tf.convert_to_tensor(places)

    @unconverted
    def shards(self, start_step: int, shard_ids: range, num_shards: int) -> tf.data.Dataset:
        rows = self._rows(num_shards)
        first_pass, offset = divmod(start_step * self.batch_size, self._count)

        def order(number):
            # The pass in which a resumed run begins is cut short, which costs nothing.
            begun = tf.where(number == first_pass, tf.constant(offset, tf.int64), 0)
            return permutation(self._count, _key(self._seed, self._purpose, number))[begun:]

        def split(step, batch):
            kept = tf.gather(tf.reshape(batch, [num_shards, rows]), list(shard_ids))
            return tf.repeat(step, len(shard_ids)), tf.constant(list(shard_ids)), kept

        def gather(step, shard, positions):
            indices = tf.gather(self._places, positions)
            images = [self._read(indices)] * max(self._views, 1)
            x = self._augmented(images, step, shard, num_shards)
            return x, tf.gather(self.labels, indices)

        batches = (
            tf.data.Dataset.range(first_pass, _ENDLESS)
            .map(order)
            .prefetch(1)
            .rebatch(self.batch_size, drop_remainder=True)
        )
        return (
            tf.data.Dataset.zip(tf.data.Dataset.range(start_step, _ENDLESS), batches)
            .map(split)
            .unbatch()
            .map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(4)
        )

    def numbered(self, first=0):
        same = copy.copy(self)
        with tf.device("CPU:0"):
            same.labels = tf.range(first, first + self._count, dtype=tf.int64)
        return same

    def read(self, positions):
        return self._read(positions)

    def whole(self):
        return self.read(tf.range(len(self.labels))), self.labels


class FileStream(_Sampled):
    """Reads batches from TFDS files, with ImageNet's crops; elements as of `ArrayStream`.

    A pass goes through the files in order and through a seeded shuffle buffer of encoded images;
    memory does not grow with the data set. A resumed run reads, but does not decode, what its pass
    had behind it. Without flip and shift, no random crop is made either.
    """

    def __init__(self, images: Streamed, indices: np.ndarray, **options):
        """Takes the options of `stream`."""
        super().__init__(indices, **options)
        self._set = images
        self._is_member = np.isin(np.arange(len(images)), indices)

    @unconverted
    def shards(self, start_step: int, shard_ids: range, num_shards: int) -> tf.data.Dataset:
        rows = self._rows(num_shards)
        first_pass, offset = divmod(start_step * self.batch_size, self._count)
        cropped = self._set.crop and bool(self._flip or self._shift)
        examples = self._members()

        def one_pass(number):
            # `shuffle` also reads the seed of the graph it is traced in, which a user may have set.
            tf.random.set_seed(1)
            # One number that depends on both of the key: its second is the bare pass number.
            seed = fold(_key(self._seed, self._purpose, number), "shuffle")[0]
            return examples.shuffle(_SHUFFLE_BUFFER, seed, reshuffle_each_iteration=False)

        def is_owned(position, _):
            return tf.reduce_any(position % self.batch_size // rows == list(shard_ids))

        def decode(position, example):
            encoded, label = example
            if not cropped:
                return position, self._set.decode(encoded)[None], label
            seed = fold(fold(fold(root(self._seed), f"crop/{self._purpose}"), position), "view")
            size = self._set.image_shape[0]
            views = [
                augment.random_crop(encoded, size, fold(seed, view))
                for view in range(max(self._views, 1))
            ]
            return position, tf.stack(views), label

        def finish(positions, images, labels):
            step, row = positions[0] // self.batch_size, positions[0] % self.batch_size
            views = tf.unstack(images, axis=1) if cropped else [images[:, 0]] * max(self._views, 1)
            return self._augmented(views, step, row // rows, num_shards), labels

        return (
            tf.data.Dataset.range(first_pass, _ENDLESS)
            .flat_map(one_pass)
            .skip(offset)
            .enumerate(start=start_step * self.batch_size)
            .filter(is_owned)
            .map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(rows, drop_remainder=True)
            .map(finish)
            .prefetch(4)
        )

    @unconverted
    def whole(self):
        """Reads all images in the order of the files."""
        decoded = self._members().map(lambda encoded, label: (self._set.decode(encoded), label))
        return next(iter(decoded.batch(self._count)))

    @unconverted
    def _members(self) -> tf.data.Dataset:
        """Yields (encoded image, label) of each image, in the order of the files."""
        with tf.device("CPU:0"):
            is_member = tf.constant(self._is_member)
        return self._set.encoded().enumerate().filter(lambda i, _: is_member[i]).map(lambda _, e: e)


def order(seed: int, purpose: str, count: int, first: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the indices, int64 [rows], of the images from position `first` on in seeded passes.

    What an `ArrayStream` over `count` images reads, as a function within a graph.

    Args:
        seed: of the run.
        purpose: as of a stream.
        count: of the images.
        first: int64 scalar.
        rows: int64 scalar, at most `count`.
    """
    number, offset = first // count, first % count
    passes = [permutation(count, _key(seed, purpose, each)) for each in (number, number + 1)]
    return tf.concat(passes, 0)[offset : offset + rows]


def _key(seed: int, purpose: str, number) -> tf.Tensor:
    """Returns the seed of a pass."""
    return fold(fold(root(seed), purpose), number)


def stream(images: InMemory | Streamed, indices: np.ndarray, **options) -> Stream:
    """Returns an endless stream of batches (x, y) of the images at `indices`.

    Args:
        images: the images to read from.
        indices: int [N], which images to read; an index that occurs twice is read twice in a pass.
        **options: `batch_size`: rows of a global batch. `seed`: of the run. `purpose`: tells the
            random numbers of this stream from those of others. `views`: 0 for x [n, H, W, C], V for
            V independently augmented copies, x [n, V, H, W, C]. `flip`, `shift`: see
            `augment.augment`. `strong`: of which views it is. `checked`: positions whose labels
            were checked.

    Raises:
        UserError: for a batch larger than the data.
    """
    if isinstance(images, InMemory):
        return ArrayStream(images.images, images.labels, indices, **options)
    return FileStream(images, indices, **options)


@unconverted
def test_batches(images: InMemory | Streamed, batch_size: int) -> tf.data.Dataset:
    """Returns all images in order, without augmentation: (x uint8 [n, H, W, C], y int64 [n])."""
    if isinstance(images, Streamed):
        return (
            images.encoded()
            .map(lambda e, y: (images.decode(e), y), num_parallel_calls=tf.data.AUTOTUNE)
            .batch(batch_size)
            .prefetch(4)
        )
    read, labels = _reader(images.images), _reader(images.labels)
    batches = tf.data.Dataset.range(len(images)).batch(batch_size)
    return batches.map(lambda each: (read(each), labels(each))).prefetch(1)


def _reader(values: np.ndarray | StoredFiles) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from positions [n] to what stands there."""
    if isinstance(values, StoredFiles):
        return values.gather
    with tf.device("CPU:0"):
        kept = tf.convert_to_tensor(values)
    return lambda positions: tf.gather(kept, positions)
