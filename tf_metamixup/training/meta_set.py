"""Keeps the meta set of a `MixUpModel`, and gives each step its share of it."""

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError, explained
from tf_metamixup.core.plurals import counted
from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.pipeline import order
from tf_metamixup.distribution import replicas
from tf_metamixup.policies import Policy
from tf_metamixup.training.data_checks import labelled_dataset
from tf_metamixup.training.first_batch import check_values, reading
from tf_metamixup.training.keras_checks import check_tensors


class MetaSet:
    """Holds images and labels, as many as the replicas can share evenly.

    The data are a pair of arrays (images, labels), or a finite `tf.data.Dataset` of batches.

    Raises:
        UserError: there are none, or not such as the model takes.
    """

    def __init__(self, data, policy: Policy, model: keras.Model):
        if data is None:
            raise UserError(
                f"policy {policy} needs `meta`: held-out (images, labels) that are not trained on"
            )
        classes = model.output_shape[-1]
        if isinstance(data, (tuple, list)) and len(data) == 2:
            images, labels = check_tensors("meta", model, *_tensors(data))
        else:
            dataset = labelled_dataset("meta", data, model.input_shape, classes, finite=True)
            with reading("meta"):
                images, labels = DatasetStream(dataset).whole()
        check_values("meta", images, labels, classes)
        shared = len(images) // replicas.count() * replicas.count()
        if not shared:
            raise UserError(
                f"the meta set has {counted(len(images), 'image')}, fewer than the "
                f"{replicas.count()} replicas"
            )
        self.images, self.labels = images[:shared], labels[:shared]

    def rows(self, seed: int, step: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns this replica's `count` rows of a step's meta batch, or as many as there are.

        Each pass over the images has an order of its own. Step and count are int64 scalars.
        """
        total = replicas.count()
        count = tf.minimum(count, len(self.images) // total)
        taken = order(seed, "meta", len(self.images), step * count * total, count * total)
        first = tf.cast(replicas.index(), tf.int64) * count
        own = taken[first : first + count]
        return tf.gather(self.images, own), tf.gather(self.labels, own)


def _tensors(pair) -> list[tf.Tensor]:
    with explained("`meta` must be a pair of arrays", TypeError, ValueError):
        images, labels = (tf.convert_to_tensor(np.asarray(each)) for each in pair)
    if not images.shape.rank or not len(images):
        raise UserError("the `meta` data is empty")
    return [images, labels]
