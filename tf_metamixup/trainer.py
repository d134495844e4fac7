"""The device side of training: a Keras model under a strategy, trained and evaluated by graphs."""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup import card, devices, evaluation, loop, methods, policies, precision, replicas
from tf_metamixup import export as exporting
from tf_metamixup.batch import check_images, check_labels, prepare, problems_told, targets
from tf_metamixup.config import OPTIMIZERS, check_jit
from tf_metamixup.data.pipeline import DatasetStream, Stream
from tf_metamixup.diagnostics import all_finite
from tf_metamixup.errors import UserError
from tf_metamixup.evaluation import Evaluation
from tf_metamixup.kept_features import KeptFeatures
from tf_metamixup.methods.method import Method
from tf_metamixup.mixing import Mixture
from tf_metamixup.network import Network, check_model
from tf_metamixup.randomness import Draws
from tf_metamixup.remembered_losses import RememberedLosses
from tf_metamixup.schedules import Clock
from tf_metamixup.step import (
    Recipe,
    Report,
    Sample,
    agreement,
    lambda_gradient,
    mixture,
    train_step,
)
from tf_metamixup.workers import Workers


class Trainer:
    """Trains a Keras classifier with a method and an interpolation policy.

    The model's variables decide where training runs: build it inside
    `tf.distribute.MirroredStrategy().scope()` for several GPUs.

    Args:
        model: a built `keras.Model` that returns logits [N, classes].
        method: `name(option=value)` or an instance; see `tmm.methods.names()`.
        policy: the same; see `tmm.policies.names()`.
        learning_rate: a number, or a Keras schedule of the step.
        optimizer: "sgd" or "adam", of the real step.
        momentum: of SGD.
        weight_decay: coefficient of the coupled L2 gradient, in the real step only.
        weight_decay_on: "all" trainable variables or "kernels".
        seed: of everything drawn while training.
        preprocess: images as the data sets give them -> what the model takes; becomes part of the
            exported model.
        class_names: for the export; numbers by default.
        row_groups: pairs are drawn within so many groups of rows; default one a replica. More of
            them on one device repeat what so many replicas do.
        mixed_bfloat16: whether label guessing and the real step compute in bfloat16; the weights
            and the meta stage stay as they are.
        jit: whether TensorFlow's compiler XLA makes one program of each step, on one replica.

    Raises:
        UserError: the model is not built, ends in a softmax or has losses of its own, such as
            regularizers; an unknown name or option; a method or model that does not go with
            `mixed_bfloat16`; more than one replica with `jit`.
    """

    def __init__(
        self,
        model: keras.Model,
        method: str | Method = "supervised",
        policy: str | Any = "meta",
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.1,
        *,
        optimizer: str = "sgd",
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        weight_decay_on: str = "all",
        seed: int = 0,
        preprocess=None,
        class_names: Sequence[str] | None = None,
        row_groups: int | None = None,
        mixed_bfloat16: bool = False,
        jit: bool = False,
    ):
        check_model(model)
        self.model = model
        self.classes = model.output_shape[-1]
        self.class_names = list(class_names or map(str, range(self.classes)))
        self.seed = seed
        self.strategy = devices.strategy_of(model)
        self.workers = Workers(self.strategy)
        self.method = methods.make(method) if isinstance(method, str) else method
        self.policy = policies.make(policy) if isinstance(policy, str) else policy
        policies.check(self.policy, learned_elsewhere=self.method.learns_lambda)
        self._learning_rate = learning_rate
        groups = row_groups or self.strategy.num_replicas_in_sync
        if groups % self.strategy.num_replicas_in_sync:
            raise UserError(
                f"row_groups={row_groups} must be a multiple of the "
                f"{self.strategy.num_replicas_in_sync} replicas"
            )
        twin = None
        if mixed_bfloat16:
            methods.check_precision(self.method)
            twin = precision.twin(model)
        if jit:
            check_jit(self.strategy.num_replicas_in_sync)
        self._jit = jit
        with self.strategy.scope():
            self.network = Network(
                model,
                preprocess,
                self.method.parts(model),
                self.method.average,
                self.method.predicts_average,
                twin,
            )
            self.optimizer = _optimizer(optimizer, learning_rate, momentum)
            self.optimizer.build(self.network.trainable)
            own = self.policy.build(self.classes)
        self._recipe = Recipe(
            network=self.network,
            method=self.method,
            policy=self.policy,
            optimizer=self.optimizer,
            weight_decay=[
                weight_decay if weight_decay_on == "all" or v.path.endswith("kernel") else 0.0
                for v in self.network.trainable
            ],
            groups=groups // self.strategy.num_replicas_in_sync,
            own=own,
        )
        self.hyper_parameters = {
            "method": repr(self.method),
            "policy": repr(self.policy),
            "learning_rate": _describe(learning_rate),
            "optimizer": optimizer,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "weight_decay_on": weight_decay_on,
            "seed": seed,
            "replicas": self.strategy.num_replicas_in_sync,
            "row_groups": groups,
            "mixed_bfloat16": mixed_bfloat16,
            "jit": jit,
            "parameters": self.parameters,
        }
        self._epoch_steps = self._steps = 1
        self._new_graphs()
        self._evaluate = tf.function(self._evaluate_batch, reduce_retracing=True)
        self._predict_sample = tf.function(self._probabilities_of, reduce_retracing=True)
        self._sample: Sample | None = None
        self._probe = None
        self._image: tf.TensorSpec | None = None
        self._first_images: tf.Tensor | None = None
        self._run_dir: str | os.PathLike | None = None
        self._test: tuple[tf.data.Dataset, Any] | None = None
        self._metric_names: list[str] = []

    @property
    def parameters(self) -> int:
        """The number of trainable parameters of the model."""
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that training changes, in a stable order: what a checkpoint holds."""
        recipe = self._recipe
        holders = [self.network, self.optimizer, recipe.own, recipe.kept, recipe.remembered]
        return [variable for holder in holders if holder for variable in holder.variables]

    @property
    def steps_taken(self) -> int:
        """How many steps made the current weights."""
        return int(self.optimizer.iterations.numpy())

    def fit(self, labelled, *, unlabelled=None, meta=None, test=None, steps: int, run_dir, **plan):
        """Trains up to `steps` steps in all, resuming what `run_dir` holds.

        Args:
            labelled: a `tf.data.Dataset` of global batches (images, integer labels or
                probabilities), or one of our streams. It is repeated as often as needed, and a
                resumed run skips what it has seen, so its order should be a function of a seed.
            unlabelled: batches of images [n, H, W, C] or of one axis of views [n, V, H, W, C],
                optionally with true labels to watch; for methods that want them.
            meta: batches like `labelled`, for policies that learn; one pass, of which those that
                keep features (`meta` by default) take all into memory.
            test: finite batches (images, labels), evaluated at epoch ends.
            steps: of the whole run.
            run_dir: where checkpoints, logs and the result go.
            **plan: see `loop.Plan`: `epoch_steps`, `max_steps`, `log_every`, `evaluate_every`,
                `checkpoint_every`; and `settings`, `labels_used`.

        Returns:
            The content of `result.json`.

        Raises:
            UserError: a missing data stream, a run directory of another run, a loss or weights
                that are not finite, ...
            Interrupted: SIGTERM or SIGINT came; what was done is checkpointed.
        """
        self._run_dir = run_dir
        streams = self.streams(labelled=labelled, unlabelled=unlabelled, meta=meta)
        return loop.fit(self, streams, test, run_dir, steps=steps, **plan)

    def evaluate(self, test: Iterable) -> dict[str, float]:
        """Test error, loss and calibration of the current weights.

        Args:
            test: finite batches (images, labels).

        Returns:
            `error` and, with more than 10 classes, `error_top5` in percent; `loss`; `ece`, the
            expected calibration error in percent.
        """
        return self.measure(test).scores

    def measure(self, test: Iterable, between=None) -> Evaluation:
        """What `evaluate` tells, with the confusion matrix and the confidences it comes from.

        Args:
            test: finite batches (images, labels).
            between: called before each batch.
        """
        if self._test is None or self._test[0] is not test:
            if isinstance(test, tf.data.Dataset):
                self._check("test", test.element_spec)
            count = self.strategy.num_replicas_in_sync
            padded = test.map(lambda x, y: _pad(x, y, count), num_parallel_calls=tf.data.AUTOTUNE)
            stream = DatasetStream(padded, repeat=False)
            self._test = test, self._distribute({"test": stream}, 0)
        sums = None
        for batch in self._test[1]:
            if between is not None:
                between()
            with problems_told():
                batch_sums = self._evaluate(batch["test"])
            sums = batch_sums if sums is None else tf.nest.map_structure(tf.add, sums, batch_sums)
        if sums is None:
            raise UserError("the test set is empty")
        return sums.numpy()

    def export(self, folder: str | os.PathLike, command: str | None = None) -> None:
        """Writes a SavedModel with its model card; see `tf_metamixup.export`.

        Args:
            folder: where it goes.
            command: repeats the run, for the card.

        Raises:
            UserError: the folder cannot be written.
        """
        exporting.export(self.network, folder, self._stored, self.class_names, self.card(command))

    def card(self, command: str | None = None, litert: dict | None = None) -> str:
        """The model card of the current weights; see `card.markdown`.

        What `fit` recorded stands on it where these are the weights that it recorded it of.
        """
        run = None if self._run_dir is None else card.read_run(self._run_dir)
        if run is not None and run.result["steps"] != self.steps_taken:
            run = None
        shape = ", ".join(map(str, self._stored.shape[1:]))
        return card.markdown(
            self.hyper_parameters,
            classes=self.class_names,
            image=f"{self._stored.dtype.name} [N, {shape}]",
            parameters=self.parameters,
            averaged=self.method.predicts_average,
            run=run,
            command=command,
            litert=litert,
        )

    @property
    def _stored(self) -> tf.TensorSpec:
        """Images as they are stored, as far as is known before `fit`."""
        return self._image or tf.TensorSpec(self.model.input_shape, tf.float32)

    # What `loop` calls.

    def prepare(self, streams: dict[str, Stream], epoch_steps: int, steps: int) -> None:
        """Fixes what schedules depend on, and takes the probe's batch."""
        self._epoch_steps, self._steps = epoch_steps, steps
        self._new_graphs()
        self._probe = next(self.batches(streams, 0))
        images = self.strategy.experimental_local_results(self._probe["labelled"][0])[0]
        stored = tf.float32 if images.dtype.is_floating else images.dtype
        self._image = tf.TensorSpec([None, *images.shape[1:]], stored)
        self._first_images = images

    def batches(self, streams: dict[str, Stream], first_step: int):
        """An iterator over the global batches from `first_step` on, dealt to the replicas."""
        return iter(self._distribute(streams, first_step))

    def trace(self, iterator) -> None:
        """Builds the graph of `train`, which may take minutes, and changes nothing."""
        self._train.get_concrete_function(iterator, *_position(0, 1))

    def train(self, iterator, first_step: int, count: int) -> tuple[dict, np.ndarray, np.ndarray]:
        """Takes `count` steps in one call.

        Returns:
            (numerator, denominator) of each metric by name and step, [count, 2] each; the loss of
            each step [count]; the mixed rows, [n, 6] with the columns of `history`.
        """
        with problems_told():
            metrics, rows, self._sample = self._train(iterator, *_position(first_step, count))
            metrics = metrics.numpy()  # [count, metrics, 2]
        named = {name: metrics[:, number] for number, name in enumerate(self._metric_names)}
        loss = named["train_loss"]
        return named, loss[:, 0] / loss[:, 1], rows.numpy()

    def is_finite(self) -> bool:
        """Returns whether none of the variables is NaN or infinite."""
        return bool(self._finite())

    def image_range(self) -> tuple[float, float]:
        """Returns the smallest and largest value of the first images, as the model takes them."""
        images = self.network.preprocess(self._first_images)
        return float(tf.reduce_min(images)), float(tf.reduce_max(images))

    def sample(self) -> tuple[Sample, np.ndarray] | None:
        """Some rows that the last step of `train` mixed, as arrays, and what is said of them now.

        The second is the probabilities [n, classes] that the current weights give the mixed images.
        Of several replicas the rows are those of this worker's first. None before the first step,
        and where the model takes no images [H, W, C].
        """
        if self._sample is None or len(self.model.input_shape) != 4:
            return None
        probabilities = self._predict_sample(self._sample).numpy()
        return Sample(*(each.numpy() for each in self._sample)), probabilities

    def learning_rate(self, step) -> tf.Tensor:
        """Eta of `step`."""
        rate = self._learning_rate
        return tf.convert_to_tensor(rate(step) if callable(rate) else rate, tf.float32)

    def clock(self, step) -> Clock:
        """What time it is at `step`."""
        return Clock(
            step=step,
            epoch=step // self._epoch_steps,
            learning_rate=self.learning_rate(step),
            progress=tf.cast(step / self._steps, tf.float32),
        )

    def agreement(self, step: int) -> float | None:
        """Cosine of the lambda gradients of two half meta batches; None if lambda is not learned.

        Always of the run's first batch, so that a curve shows the network's change.
        """
        if not self.policy.reads_meta:
            return None
        with problems_told():
            cosine = float(self._agree(self._probe, tf.constant(step, tf.int64)))
        return cosine if np.isfinite(cosine) else None

    def lambda_gradient(self, batch, step: int) -> np.ndarray:
        """The gradient, [N], by which the policy would move lambda's logits, on one replica.

        Kept features are renewed where it is their step; nothing else is changed.
        """
        return self._lambda_gradient(batch, tf.constant(step, tf.int64)).numpy()

    def mixture(self, batch, step: int) -> Mixture:
        """What one device would train on at `step` with the current weights.

        Args:
            batch: the element of `batches` for this step.
            step: decides pairs, lambda's start and the learning rate.
        """
        with problems_told():
            return self._mix(batch, tf.constant(step, tf.int64))

    # Graphs.

    def _new_graphs(self) -> None:
        # The data are read and checked outside of what is compiled: XLA drops assertions.
        step = self._replicated_step
        self._step = tf.function(step, jit_compile=True) if self._jit else step
        self._train = tf.function(self._train_steps)
        self._finite = tf.function(lambda: all_finite(self.variables))
        self._agree = tf.function(self._replicated_agreement)
        self._lambda_gradient = tf.function(self._gradient_of_lambda)
        self._mix = tf.function(self._mixture)

    def _train_steps(self, iterator, first_step, count):
        metrics = tf.TensorArray(tf.float64, count, infer_shape=False)
        rows = tf.TensorArray(tf.float32, count, infer_shape=False)
        spec = Sample.spec(self.model.input_shape, self.classes)
        sample = tf.nest.map_structure(
            lambda each: tf.zeros([size or 0 for size in each.shape], each.dtype), spec
        )
        for number in tf.range(count):
            # Carried from step to step, so that the last one's is left and nothing piles up.
            tf.autograph.experimental.set_loop_options(
                shape_invariants=[(sample, tf.nest.map_structure(lambda each: each.shape, spec))]
            )
            step = first_step + tf.cast(number, tf.int64)
            self._renew_features(step)
            batch = self.strategy.run(self._prepared, (next(iterator),))
            if self.policy.every == 1 or step % self.policy.every == 0:
                step_metrics, step_rows, sample = self._global_step(batch, step, learns=True)
            else:
                step_metrics, step_rows, sample = self._global_step(batch, step, learns=False)
            metrics = metrics.write(number, step_metrics)
            rows = rows.write(number, step_rows)
        # Not stacked: the last batch of a user's data set may be short.
        return metrics.stack(), tf.ensure_shape(rows.concat(), [None, 6]), sample

    def _renew_features(self, step):
        """Where features are kept and it is their step."""

        def on_replica(step):
            self._recipe.kept.renew(self._draws(step))

        if self.policy.keeps_features and step % self.policy.refresh == 0:
            self.strategy.run(on_replica, (step,))

    def _prepared(self, raw):
        batch = prepare(raw, self.network, self.classes)
        if self._recipe.kept is None:
            return batch
        x_meta, y_meta = self._recipe.kept.rows()
        return batch._replace(x_meta=x_meta, y_meta=y_meta)

    def _global_step(self, batch, step, *, learns: bool):
        metrics, rows, sample = self._step(batch, step, learns=learns)
        metrics = self.strategy.reduce(tf.distribute.ReduceOp.SUM, metrics, axis=None)
        return metrics, self.workers.gather(rows), tf.nest.map_structure(self._first, sample)

    def _first(self, value) -> tf.Tensor:
        """That of this worker's first replica, of one value per replica."""
        return self.strategy.experimental_local_results(value)[0]

    def _replicated_step(self, batch, step, *, learns: bool):
        recipe = self._recipe._replace(learns=learns)

        def on_replica(batch, step):
            report = train_step(recipe, batch, self.clock(step), self._draws(step))
            self._metric_names = list(report.metrics)
            metrics = [tf.stack(list(ratio)) for ratio in report.metrics.values()]
            return tf.stack(metrics), _rows(report), report.sample()

        return self.strategy.run(on_replica, (batch, step))

    def _gradient_of_lambda(self, raw, step):
        def on_replica(raw, step):
            batch = self._prepared(raw)
            return lambda_gradient(self._recipe, batch, self.clock(step), self._draws(step))

        self._renew_features(step)
        return self.strategy.run(on_replica, (raw, step))

    def _mixture(self, raw, step):
        recipe = self._recipe._replace(learns=False)
        return mixture(recipe, self._prepared(raw), self.clock(step), self._draws(step))

    def _replicated_agreement(self, raw, step):
        def on_replica(raw, step):
            batch = self._prepared(raw)
            return agreement(self._recipe, batch, self.clock(step), self._draws(step))

        return self._first(self.strategy.run(on_replica, (raw, step)))

    def _probabilities_of(self, sample):
        def on_replica(x):
            logits = self.network.infer(tf.cast(x, self.model.compute_dtype))
            return tf.nn.softmax(tf.cast(logits, tf.float32))

        return self._first(self.strategy.run(on_replica, (sample.x,)))

    def _evaluate_batch(self, batch):
        def on_replica(batch):
            images, labels, real = batch
            logits = tf.cast(self.network.predict(images), tf.float32)
            return evaluation.evaluate(targets(labels, self.classes, logits.dtype), logits, real)

        # One by one: several workers reduce no structures.
        return tf.nest.map_structure(
            lambda each: self.strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None),
            self.strategy.run(on_replica, (batch,)),
        )

    def _draws(self, step) -> Draws:
        return Draws.at(self.seed, step, replicas.index(), replicas.count())

    # Data.

    def streams(self, *, labelled, unlabelled=None, meta=None) -> dict[str, Stream]:
        """What a step is given of the data, by name; see `fit`.

        What the policy keeps of the data is made here, and is from then on among `variables`.

        Raises:
            UserError: data that is missing or that the model does not take.
        """
        wanted = {"labelled": labelled}
        if self.method.views:
            wanted["unlabelled"] = unlabelled
        if self.policy.reads_meta:
            wanted["meta"] = meta
        for name, data in wanted.items():
            if data is None:
                by = f"policy {self.policy}" if name == "meta" else f"method {self.method}"
                raise UserError(f"{by} needs `{name}` data, and fit() was given none")
        for name in ("labelled", "meta"):
            if isinstance(wanted.get(name), tf.data.Dataset):
                self._check(name, wanted[name].element_spec)
        if "unlabelled" in wanted and isinstance(unlabelled, tf.data.Dataset):
            wanted["unlabelled"] = unlabelled.map(self._with_views)
            images = wanted["unlabelled"].element_spec[0]
            check_images("unlabelled", images, self.model.input_shape, views=True)
        streams = {
            name: DatasetStream(data) if isinstance(data, tf.data.Dataset) else data
            for name, data in wanted.items()
        }
        rows, groups = streams["labelled"].batch_size, self.hyper_parameters["row_groups"]
        if (self.policy.mixes or self.method.learns_lambda) and rows and rows < 2 * groups:
            raise UserError(
                f"a batch of {rows} in {groups} row groups has no pairs to mix: take batches of at "
                f"least {2 * groups}, or policy none"
            )
        with self.strategy.scope():
            self._keep(streams, groups)
        return streams

    def _keep(self, streams: dict[str, Stream], groups: int) -> None:
        """Makes what the policy keeps of the data; of the meta set, the rows that can be dealt."""
        kept = remembered = None
        if self.policy.keeps_features:
            images, labels = streams.pop("meta").whole()
            rows = len(images) // groups * groups
            kept = KeptFeatures(self.network, images[:rows], labels[:rows], self.classes)
        if self.policy.remembers:
            known = [stream.last_number for name, stream in streams.items() if name != "meta"]
            images = 1 + max((last for last in known if last is not None), default=0)
            # The loss of a guess at random.
            dtype = self.model.variable_dtype
            remembered = RememberedLosses(images, np.log(self.classes), dtype)
        self._recipe = self._recipe._replace(kept=kept, remembered=remembered)

    def _check(self, name: str, spec) -> None:
        if not (isinstance(spec, tuple) and len(spec) == 2):
            raise UserError(f"the `{name}` data must give pairs (images, labels), and give {spec}")
        check_images(name, spec[0], self.model.input_shape)
        check_labels(name, spec[1], self.classes)

    def _with_views(self, images, labels=None):
        if len(images.shape) == len(self.model.input_shape):
            images = images[:, None]
        if labels is None:
            labels = tf.fill(tf.shape(images)[:1], -1)
        return images, tf.cast(labels, tf.int64)

    def _distribute(self, streams: dict[str, Stream], first_step: int):
        count = self.strategy.num_replicas_in_sync

        @functools.cache
        def dealt(first: int, owned: int) -> tf.data.Dataset:
            pieces = {
                name: stream.pieces(first_step, range(first, first + owned), count)
                for name, stream in streams.items()
            }
            return tf.data.Dataset.zip(pieces).prefetch(tf.data.AUTOTUNE)

        # Asked anew for each iterator; building the graph of a data set takes a while.
        def dataset(context):
            owned = count // context.num_input_pipelines
            return dealt(context.input_pipeline_id * owned, owned)

        return self.strategy.distribute_datasets_from_function(dataset)


def _position(first_step: int, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """As tensors: a Python number would make a graph of its own."""
    return tf.constant(first_step, tf.int64), tf.constant(count, tf.int32)


def _rows(report: Report) -> tf.Tensor:
    """The mixed rows, float32 [N, 6] with the columns of `history`."""
    classes = tf.argmax(report.examples.y, axis=-1)
    columns = [
        *(report.lambdas.value, report.lambdas.start, report.lambdas.move),
        *(classes, tf.gather(classes, report.partner), report.examples.accepted),
    ]
    return tf.stack([tf.cast(column, tf.float32) for column in columns], axis=1)


def _pad(images, labels, multiple: int):
    """Rows filled up to a multiple, and a mask of the real ones."""
    rows = tf.shape(images)[0]
    missing = -rows % multiple
    filled = tf.minimum(tf.range(rows + missing), rows - 1)
    real = tf.cast(tf.range(rows + missing) < rows, tf.float32)
    return tf.gather(images, filled), tf.gather(labels, filled), real


def _optimizer(name: str, learning_rate, momentum: float) -> keras.Optimizer:
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer={name!r} must be one of {', '.join(OPTIMIZERS)}")
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return keras.optimizers.SGD(learning_rate, momentum=momentum)


def _describe(learning_rate) -> Any:
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return {"schedule": type(learning_rate).__name__, **learning_rate.get_config()}
    return learning_rate
