"""What training needs, made once from a trainer, its data and the length of the run."""

import math

import numpy as np
import tensorflow as tf

from tf_metamixup.core.autograph import function
from tf_metamixup.core.divergence import all_finite
from tf_metamixup.core.rng import Draws
from tf_metamixup.core.schedules import Clock
from tf_metamixup.data.images import Audited
from tf_metamixup.data.stream import Stream
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.batch import Batch, make_batch, translate_data_errors
from tf_metamixup.mixing import Sample
from tf_metamixup.training import first_batch, inputs
from tf_metamixup.training.audit import LabelAudit
from tf_metamixup.training.feature_cache import FeatureCache
from tf_metamixup.training.stages import Stages
from tf_metamixup.training.step import Report, train_step


class Graphs:
    """Holds the compiled functions of one run, and the batches that they read.

    Args:
        trainer: a `Trainer`.
        streams: by name, as `inputs.collect` gives them.
        epoch_steps, steps: of an epoch, for thresholds, and of the whole run, for ramps.
        audited: checked images, for a method that audits labels.

    Attributes:
        variables: everything that training changes, in a stable order: what a checkpoint holds.
        recipe: what stays the same from step to step.
        sample: rows that the last step mixed; None before the first.
        scales: of the images that training does not read step by step; see `first_batch`.
        strategy: the trainer's.
        stages: what is trained, and whether lambda is learned, at which step.
        label_audit: what is known of labels, where the method judges them.
    """

    def __init__(
        self,
        trainer,
        streams: dict[str, Stream],
        epoch_steps: int,
        steps: int,
        audited: Audited | None = None,
    ):
        self._trainer, self.strategy = trainer, trainer.strategy
        self._epoch_steps, self._steps = epoch_steps, steps
        self.sample: Sample | None = None
        self._metric_names: dict[str, None] = {}
        self.scales: dict[str, first_batch.Scale] = {}
        self._compared, cache = False, None
        self.label_audit: LabelAudit | None = None
        if trainer.method.judges:
            self.label_audit = LabelAudit(trainer, streams["labelled"], audited, steps)
            streams["labelled"] = self.label_audit.stream
        if trainer.policy.caches_features:
            images, labels = inputs.whole_meta_set(streams.pop("meta"), trainer.row_groups)
            self.scales["meta"] = first_batch.scale_of(images, trainer.network.preprocess)
            with self.strategy.scope():
                cache = FeatureCache(trainer.network, images, labels, trainer.classes)
        self._streams = streams
        self.recipe = trainer.recipe._replace(feature_cache=cache)
        self.stages = Stages(self.recipe, trainer.first_trained, trainer.unfreeze_at, steps)
        states = [state for state in (cache, self.label_audit) if state is not None]
        self.variables = [*trainer.variables, *(v for state in states for v in state.variables)]
        # The data are read and checked outside of what is compiled: XLA drops assertions.
        step = self._replicated_step
        self._step = function(step, jit_compile=True) if trainer.jit else step
        self._train = function(self._train_steps)
        self._finite = function(lambda: all_finite(self.variables))

    def batches(self, start_step: int):
        """Returns an iterator over the global batches from `start_step` on, sharded to replicas."""
        return iter(inputs.distribute(self.strategy, self._streams, start_step))

    def beginning(self):
        """Returns an iterator over the first global batch; see `Stream.beginning`."""
        first = {name: stream.beginning() for name, stream in self._streams.items()}
        return iter(inputs.distribute(self.strategy, first, 0))

    def trace(self, iterator, step: int = 0) -> None:
        """Builds the graph of `train` at `step`, which may take minutes, and changes nothing."""
        self._train.get_concrete_function(iterator, *_position(0, 1), self.stages.at(step))

    def train(self, iterator, start_step: int, count: int) -> tuple[dict, np.ndarray, np.ndarray]:
        """Takes `count` steps in one call; all of one stage.

        Returns:
            (numerator, denominator) of each metric by name and step, [count, 2] each; the loss of
            each step [count]; the mixed rows, [n, 6] with the columns of `history`.
        """
        if self.label_audit is not None and start_step in self.label_audit.steps:
            self.label_audit.update()
        try:
            with translate_data_errors():
                metrics, rows, self.sample, ranges = self._train(
                    iterator, *_position(start_step, count), self.stages.at(start_step)
                )
                metrics = {name: values.numpy() for name, values in metrics.items()}
        except tf.errors.OpError as error:
            inputs.explain(self._streams, error)
            raise
        if not start_step:  # a later step may read a short last batch
            inputs.check_pairs(self._trainer, len(rows) // count)
        self._compare_scales(ranges)
        loss = metrics["train_loss"]
        return metrics, loss[:, 0] / loss[:, 1], rows.numpy()

    def steps_until_audit(self, step: int) -> float:
        """Returns the number of steps from `step` to the next audit of labels."""
        steps = [] if self.label_audit is None else self.label_audit.steps
        return min([each - step for each in steps if each > step], default=math.inf)

    def is_finite(self) -> bool:
        """Returns whether no variable is NaN or infinite."""
        return bool(self._finite.get_concrete_function()())  # as in `Evaluator.probabilities`

    def image_range(self) -> tuple[float, float]:
        """Returns the smallest and largest value of the first images, as the model takes them."""
        batches = self._streams["labelled"].shards(0, range(1), 1)
        images = self._trainer.network.preprocess(first_batch.first_batch("labelled", batches)[0])
        return float(tf.reduce_min(images)), float(tf.reduce_max(images))

    def clock(self, step) -> Clock:
        """Returns the clock at `step`."""
        progress = tf.cast(step / self._steps, tf.float32)
        return Clock(step, step // self._epoch_steps, self._trainer.learning_rate(step), progress)

    def draws(self, step) -> Draws:
        """Returns this replica's random numbers of `step`."""
        return Draws.at(self._trainer.seed, step, replicas.index(), replicas.count())

    def to_batch(self, raw) -> Batch:
        """Returns the `Batch` of this replica's elements of the streams."""
        trainer, more = self._trainer, {}
        if self.label_audit is not None:
            raw, more = self.label_audit.relabelled(raw)
        if self.recipe.feature_cache is not None:
            x_meta, y_meta = self.recipe.feature_cache.rows()
            more = {**more, "x_meta": x_meta, "y_meta": y_meta}
        given = trainer.network, trainer.classes, trainer.label_smoothing, self.recipe.groups
        return make_batch(raw, *given)._replace(**more)

    def refresh_features(self, step, read: bool = True) -> None:
        """Recomputes cached features that are `read` when they are due, and the first time."""

        def refreshed():
            self.strategy.run(lambda: self.recipe.feature_cache.refresh(self.draws(step)))
            return step

        if read and self._trainer.policy.caches_features:
            due = self.recipe.feature_cache.is_due(step % self._trainer.policy.refresh == 0)
            tf.cond(due, refreshed, lambda: step)

    def on_first_replica(self, function, *arguments) -> tf.Tensor:
        """Runs `function` on all replicas and returns what this worker's first one gives."""
        return self._first(self.strategy.run(function, arguments))

    def _train_steps(self, iterator, start_step, count, stage: int):
        spec = Sample.spec(self._trainer.model.input_shape, self._trainer.classes)

        # Sample and ranges are carried along, so that the last ones are left and nothing piles up.
        def one_step(number, metrics, rows, *_):
            step = start_step + tf.cast(number, tf.int64)
            self.refresh_features(step, self.stages.reads_meta(stage))
            raw = next(iterator)
            ranges = self._ranges(raw)
            batch = self.strategy.run(self.to_batch, (raw,))
            step_metrics, step_rows, sample = self._global_step(batch, step, stage)
            metrics, rows = metrics.write(number, step_metrics), rows.write(number, step_rows)
            return number + 1, metrics, rows, sample, ranges

        _, metrics, rows, sample, ranges = tf.while_loop(
            lambda number, *_: number < count,
            one_step,
            (0, *_nothing_yet(count, spec, len(self._streams))),
            shape_invariants=(None, None, None, spec, None),
        )
        stacked = metrics.stack()  # [count, metrics, 2]
        named = {name: stacked[:, place] for place, name in enumerate(self._metric_names)}
        # Not stacked: the last batch of a user's data set may be short.
        return named, tf.ensure_shape(rows.concat(), [None, 6]), sample, ranges

    def _ranges(self, raw) -> tf.Tensor:
        """Returns the pixel ranges of this worker's first replica, [streams, 4]."""
        images = [self._first(raw[name][0]) for name in self._streams]
        self._types = [each.dtype.name for each in images]
        preprocess = self._trainer.network.preprocess
        return tf.stack([first_batch.pixel_range(each, preprocess) for each in images])

    def _compare_scales(self, ranges: tf.Tensor) -> None:
        """Warns, after the first steps; to read the data before would move a shuffled one on."""
        if not self._compared:
            self._compared = True
            rows = zip(self._streams, ranges.numpy().tolist(), self._types, strict=True)
            read = {name: first_batch.Scale(*row, dtype) for name, row, dtype in rows}
            self._trainer.evaluator.trained_on = read["labelled"]
            first_batch.warn_of_scales(self.scales | read)

    def _global_step(self, batch, step, stage: int):
        metrics, rows, sample = self._step(batch, step, stage)
        self._metric_names = dict.fromkeys(metrics)
        # One tensor, since each reduction is a collective operation between workers.
        stacked = self.strategy.run(_stack, (metrics,))
        stacked = self.strategy.reduce(tf.distribute.ReduceOp.SUM, stacked, axis=None)
        sample = tf.nest.map_structure(self._first, sample)
        return stacked, self._trainer.workers.gather(rows), sample

    def _replicated_step(self, batch, step, stage: int):
        def on_replica(batch, step):
            recipe = self.stages.recipe(stage)
            report = train_step(recipe, batch, self.clock(step), self.draws(step))
            return _plain(report.metrics), _rows(report), report.sample()

        return self.strategy.run(on_replica, (batch, step))

    def _first(self, values) -> tf.Tensor:
        return self.strategy.experimental_local_results(values)[0]


def _position(start_step: int, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns both as tensors: a Python number would make a graph of its own."""
    return tf.constant(start_step, tf.int64), tf.constant(count, tf.int32)


def _nothing_yet(count: tf.Tensor, spec: Sample, streams: int) -> tuple:
    """Returns what `count` steps are gathered in: metrics, mixed rows, a sample, pixel ranges."""
    empty = [tf.zeros([size or 0 for size in each.shape], each.dtype) for each in spec]
    metrics, rows = (
        tf.TensorArray(dtype, count, infer_shape=False) for dtype in (tf.float64, tf.float32)
    )
    return metrics, rows, Sample(*empty), tf.zeros([streams, 4])


def _plain(metrics: dict) -> dict:
    """Returns plain tuples: where a graph is left, TensorFlow calls `Ratio` with a list."""
    return {name: tuple(ratio) for name, ratio in metrics.items()}


def _stack(metrics: dict) -> tf.Tensor:
    """Returns [metrics, 2] of (numerator, denominator) by name."""
    return tf.stack([tf.stack(list(ratio)) for ratio in metrics.values()])


def _rows(report: Report) -> tf.Tensor:
    """Returns the mixed rows, float32 [N, 6] with the columns of `history`."""
    classes = tf.argmax(report.examples.y, axis=-1)
    columns = [
        *(report.lambdas.value, report.lambdas.start, report.lambdas.move),
        *(classes, tf.gather(classes, report.partner), report.examples.accepted),
    ]
    return tf.stack([tf.cast(column, tf.float32) for column in columns], axis=1)
