"""From a user's data to the batches of the replicas."""

import functools

import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.data.pipeline import DatasetStream, Stream
from tf_metamixup.methods.batch import check_images, check_labels


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
    for name, data in given.items():
        if data is None:
            by = f"policy {trainer.policy}" if name == "meta" else f"method {trainer.method}"
            raise UserError(f"{by} needs `{name}` data, and fit() was given none")
    shape = trainer.model.input_shape
    for name in ("labelled", "meta"):
        if isinstance(given.get(name), tf.data.Dataset):
            check_pairs(name, given[name].element_spec, shape, trainer.classes)
    if isinstance(given.get("unlabelled"), tf.data.Dataset):
        given["unlabelled"] = unlabelled.map(functools.partial(_with_views, len(shape)))
        images = given["unlabelled"].element_spec[0]
        check_images("unlabelled", images, shape, views=True)
    streams = {
        name: DatasetStream(data) if isinstance(data, tf.data.Dataset) else data
        for name, data in given.items()
    }
    rows, groups = streams["labelled"].batch_size, trainer.row_groups
    if (trainer.policy.mixes or trainer.method.learns_lambda) and rows and rows < 2 * groups:
        raise UserError(
            f"a batch of {rows} in {groups} row groups has no pairs to mix: take batches of at "
            f"least {2 * groups}, or policy none"
        )
    return streams


def check_pairs(name: str, spec, shape: tuple, classes: int) -> None:
    """Refuses a stream that does not give the images and labels that a model takes.

    Raises:
        UserError: naming the stream.
    """
    if not (isinstance(spec, tuple) and len(spec) == 2):
        raise UserError(f"the `{name}` data must give pairs (images, labels), and give {spec}")
    check_images(name, spec[0], shape)
    check_labels(name, spec[1], classes)


def image_spec(stream: Stream) -> tf.TensorSpec:
    """Returns the images of a stream as they are stored, any number of them."""
    spec = stream.pieces(0, range(1), 1).element_spec[0]
    stored = tf.float32 if spec.dtype.is_floating else spec.dtype
    return tf.TensorSpec([None, *spec.shape[1:]], stored)


def first_images(stream: Stream) -> tf.Tensor:
    """Returns the images of the first global batch of a stream, as they are stored."""
    return next(iter(stream.pieces(0, range(1), 1)))[0]


def whole_meta_set(stream: Stream, groups: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns all (images, labels) of the meta set that can be sharded evenly to `groups`."""
    images, labels = stream.whole()
    rows = len(images) // groups * groups
    return images[:rows], labels[:rows]


def distribute(strategy: tf.distribute.Strategy, streams: dict[str, Stream], first_step: int):
    """Returns a distributed data set of the streams' batches from `first_step` on."""
    count = strategy.num_replicas_in_sync

    # Asked anew for each iterator; building the graph of a data set takes a while.
    @functools.cache
    def sharded(first: int, owned: int) -> tf.data.Dataset:
        pieces = {
            name: stream.pieces(first_step, range(first, first + owned), count)
            for name, stream in streams.items()
        }
        return tf.data.Dataset.zip(pieces).prefetch(tf.data.AUTOTUNE)

    def dataset(context):
        owned = count // context.num_input_pipelines
        return sharded(context.input_pipeline_id * owned, owned)

    return strategy.distribute_datasets_from_function(dataset)


def padded(images, labels, multiple: int):
    """Returns the rows filled up to a multiple, and a mask of the real ones."""
    rows = tf.shape(images)[0]
    missing = -rows % multiple
    filled = tf.minimum(tf.range(rows + missing), rows - 1)
    real = tf.cast(tf.range(rows + missing) < rows, tf.float32)
    return tf.gather(images, filled), tf.gather(labels, filled), real


def _with_views(rank: int, images, labels=None):
    """Returns unlabelled images with an axis of views, and their labels, -1 where unknown."""
    if len(images.shape) == rank:
        images = images[:, None]
    if labels is None:
        labels = tf.fill(tf.shape(images)[:1], -1)
    return images, tf.cast(labels, tf.int64)
