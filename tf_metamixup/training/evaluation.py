"""Evaluates a network on test data, on all replicas."""

import functools
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_metamixup.core.autograph import function, unconverted
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation, evaluate
from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.methods.batch import pixels, targets, translate_data_errors
from tf_metamixup.mixing import Sample
from tf_metamixup.models.network import Network
from tf_metamixup.training import first_batch, inputs
from tf_metamixup.training.data_checks import check_images, labelled_dataset

# Images of a batch of `Evaluator.probabilities`.
ROWS = 500
# What messages call the data whose scores are `val_error`, `test_error`, ....
DATA_NAMES = {"val": "validation", "test": "test"}


class Evaluator:
    """Measures a network's current weights; the graph is made at its first use.

    Args:
        network: with moving statistics, and averaged weights where it predicts with those.
        strategy: in whose scope the network was made.
    """

    def __init__(self, network: Network, strategy: tf.distribute.Strategy):
        self._network, self._strategy = network, strategy
        self._classes = network.model.output_shape[-1]
        self._evaluate = function(self._evaluate_batch, reduce_retracing=True)
        self._probabilities = function(self._predict_batch, reduce_retracing=True)
        self._probabilities_of_mixed = function(self._predict_mixed)
        self._batches: dict[int, tuple] = {}  # by the identity of the data, which they hold
        self.trained_on: first_batch.Scale | None = None  # of the images, once `fit` has read some

    def check(self, test, name: str = "test") -> first_batch.Scale:
        """Reads the first batch of test data, and returns the scale of its images.

        Raises:
            UserError: it is none that the model takes.
        """
        images, labels = first_batch.first_batch(name, self._dataset(test, name))
        first_batch.check_values(name, images, labels, self._classes)
        return first_batch.scale_of(images, self._network.preprocess)

    def compare(self, scale: first_batch.Scale, name: str) -> None:
        """Warns where images of another scale are given than were trained on."""
        if self.trained_on is not None:
            first_batch.warn_of_scales({"labelled": self.trained_on, name: scale})

    def scores(self, test) -> dict[str, float]:
        """Evaluates like `measure`, on data that `fit` has not seen."""
        if self.trained_on is not None:
            self.compare(self.check(test), "test")
        return self.measure(test).scores

    @unconverted
    def measure(self, test, between=None, name: str = "test") -> Evaluation:
        """Evaluates on finite batches (images, labels).

        Args:
            test: the batches.
            between: called before each batch.
            name: of the data, for messages.

        Raises:
            UserError: data that the model does not take.
        """
        if id(test) not in self._batches:
            count = self._strategy.num_replicas_in_sync

            def ready(images, labels):
                # Of one type whatever the labels are, so that one graph evaluates them all.
                probabilities = targets(labels, self._classes, tf.float32, name)
                return inputs.padded(images, probabilities, count)

            padded = self._dataset(test, name).map(ready, num_parallel_calls=tf.data.AUTOTUNE)
            stream = DatasetStream(padded, name, repeat=False)
            if len(self._batches) > 1:  # validation and test images take turns
                self._batches.pop(next(iter(self._batches)))
            distributed = inputs.distribute(self._strategy, {"test": stream}, 0)
            # Of any number of rows: a short last batch would be traced anew.
            graph = self._evaluate.get_concrete_function(distributed.element_spec["test"])
            self._batches[id(test)] = distributed, graph, test
        sums, (distributed, evaluate_batch, _) = None, self._batches[id(test)]
        for batch in first_batch.read(name, distributed):
            if between is not None:
                between()
            with translate_data_errors():
                batch_sums = evaluate_batch(batch["test"])
            sums = batch_sums if sums is None else tf.nest.map_structure(tf.add, sums, batch_sums)
        if sums is None:
            raise UserError(f"the {name} set is empty")
        return sums.numpy()

    def predict(self, images) -> np.ndarray:
        """Predicts like `probabilities`, for images [N, H, W, C] of any source.

        Raises:
            UserError: the model does not take them.
        """
        try:
            with tf.device("CPU:0"):
                images = tf.convert_to_tensor(images)
        except (TypeError, ValueError) as error:
            kind = type(images).__name__
            raise UserError(f"predict() takes images [N, H, W, C], not a {kind}") from error
        spec = tf.TensorSpec(images.shape, images.dtype)
        check_images("predicted", spec, self._network.model.input_shape)
        if not len(images):
            return np.zeros([0, self._classes], self._network.model.variable_dtype)
        self.compare(first_batch.scale_of(images, self._network.preprocess), "predicted")
        with translate_data_errors():
            return self.probabilities(functools.partial(tf.gather, images), len(images))

    @unconverted
    def probabilities(self, read: Callable[[tf.Tensor], tf.Tensor], number: int) -> np.ndarray:
        """Predicts on all replicas; returns [N, classes] in the precision of the weights.

        Args:
            read: gives images as they are stored, [n, H, W, C], at ascending positions, int64 [n].
            number: N, of the images.
        """
        count = self._strategy.num_replicas_in_sync

        def ready(first):
            with tf.device("CPU:0"):
                positions = tf.range(first, tf.minimum(first + ROWS, number), dtype=tf.int64)
                rows = read(positions)
                return inputs.padded(rows, tf.range(tf.shape(rows)[0]), count)

        if count == 1:
            # To build a pipeline takes longer than what it reads here.
            batches = ({"images": ready(first)} for first in range(0, number, ROWS))
            first = next(batches)
            spec = tf.nest.map_structure(_any_rows, first["images"])
            batches = itertools.chain([first], batches)
        else:
            rows = tf.data.Dataset.range(0, number, ROWS).map(ready)
            stream = DatasetStream(rows, repeat=False)
            batches = inputs.distribute(self._strategy, {"images": stream}, 0)
            spec = batches.element_spec["images"]
        # Called by itself, the function of each of several trainers would count as traced anew.
        graph = self._probabilities.get_concrete_function(spec)
        found = [graph(batch["images"]) for batch in batches]
        return np.concatenate([rows.numpy()[real.numpy() > 0] for rows, real in found])

    def mixed(self, sample: Sample | None) -> tuple[Sample, np.ndarray] | None:
        """Returns rows that a step mixed as arrays, and their probabilities [n, classes].

        None without a sample, and where the model takes no images [H, W, C].
        """
        if sample is None or len(self._network.model.input_shape) != 4:
            return None
        graph = self._probabilities_of_mixed.get_concrete_function(_any_rows(sample.x))
        return Sample(*(each.numpy() for each in sample)), graph(sample.x).numpy()

    def _dataset(self, data, name: str) -> tf.data.Dataset:
        shape = self._network.model.input_shape
        return labelled_dataset(name, data, shape, self._classes, finite=True)

    def _predict_batch(self, batch):
        def on_replica(batch):
            images, _, real = batch
            logits = self._network.infer(pixels(images, self._network, "predicted"))
            return tf.nn.softmax(tf.cast(logits, self._network.model.variable_dtype)), real

        rows, real = self._strategy.run(on_replica, (batch,))
        return self._strategy.gather(rows, axis=0), self._strategy.gather(real, axis=0)

    def _predict_mixed(self, x):
        def on_replica(x):
            logits = self._network.infer(tf.cast(x, self._network.model.compute_dtype))
            return tf.nn.softmax(tf.cast(logits, tf.float32))

        found = self._strategy.run(on_replica, (x,))
        return self._strategy.experimental_local_results(found)[0]

    def _evaluate_batch(self, batch):
        def on_replica(batch):
            images, probabilities, real = batch
            logits = self._network.infer(pixels(images, self._network, "test or validation"))
            return evaluate(probabilities, tf.cast(logits, tf.float32), real)

        # One by one: several workers reduce no structures.
        return tf.nest.map_structure(
            lambda each: self._strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None),
            self._strategy.run(on_replica, (batch,)),
        )


def _any_rows(values: tf.Tensor) -> tf.TensorSpec:
    """Returns the spec of values [n, ...] with any n."""
    return tf.TensorSpec([None, *values.shape[1:]], values.dtype)
