"""The device side of training: a Keras model under a strategy, trained and evaluated by graphs."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup import methods, policies
from tf_metamixup.config import OPTIMIZERS, check_jit
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.distribution.strategy import strategy_of
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.export import model_card
from tf_metamixup.export import saved_model as exporting
from tf_metamixup.methods.method import Method
from tf_metamixup.models.checks import check_model
from tf_metamixup.models.network import Network
from tf_metamixup.runs.fingerprint import fingerprint
from tf_metamixup.training import initial_weights, inputs, loop, mixed_precision
from tf_metamixup.training.evaluation import Evaluator
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.momentum import SGD
from tf_metamixup.training.step import Recipe


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
        names = range(self.classes) if class_names is None else class_names
        self.class_names = list(map(str, names))
        if len(self.class_names) != self.classes:
            raise UserError(
                f"class_names has {len(self.class_names)} names, and the model returns "
                f"{self.classes} logits: give one name per class, in the order of the labels"
            )
        self.seed = seed
        self.strategy = strategy_of(model)
        self.workers = Workers(self.strategy)
        self.method = methods.make(method) if isinstance(method, str) else method
        self.policy = policies.make(policy) if isinstance(policy, str) else policy
        policies.check(self.policy, learned_elsewhere=self.method.learns_lambda)
        self._learning_rate = learning_rate
        self.row_groups = row_groups or self.strategy.num_replicas_in_sync
        if self.row_groups % self.strategy.num_replicas_in_sync:
            raise UserError(
                f"row_groups={row_groups} must be a multiple of the "
                f"{self.strategy.num_replicas_in_sync} replicas"
            )
        low_precision = None
        if mixed_bfloat16:
            methods.check_precision(self.method)
            low_precision = mixed_precision.low_precision_copy(model)
        if jit:
            check_jit(self.strategy.num_replicas_in_sync)
        self.jit = jit
        with self.strategy.scope():
            self.network = Network(
                model,
                preprocess,
                self.method.parts(model),
                self.method.average,
                self.method.predicts_average,
                low_precision,
            )
            self.optimizer = _optimizer(optimizer, learning_rate, momentum)
            self.optimizer.build(self.network.trainable)
        self.recipe = Recipe(
            network=self.network,
            method=self.method,
            policy=self.policy,
            optimizer=self.optimizer,
            weight_decay=[
                weight_decay if weight_decay_on == "all" or v.path.endswith("kernel") else 0.0
                for v in self.network.trainable
            ],
            groups=self.row_groups // self.strategy.num_replicas_in_sync,
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
            "row_groups": self.row_groups,
            "mixed_bfloat16": mixed_bfloat16,
            "jit": jit,
            "parameters": self.parameters,
        }
        self._evaluator = Evaluator(self.network, self.strategy)
        self._image: tf.TensorSpec | None = None
        self._run_dir: str | os.PathLike | None = None

    @property
    def parameters(self) -> int:
        """The number of trainable parameters of the model."""
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the network and the optimizer, in a stable order."""
        return [*self.network.variables, *self.optimizer.variables]

    @property
    def checkpointed_model(self) -> dict[str, Any]:
        """What a checkpoint records of the model, and which of `variables` are its weights."""
        place = {id(variable): place for place, variable in enumerate(self.variables)}
        values = [place[id(variable)] for variable in self.network.evaluated]
        return {**initial_weights.describe(self.model), "values": values}

    @property
    def steps_taken(self) -> int:
        """How many steps made the current weights."""
        return int(self.optimizer.iterations.numpy())

    def fit(
        self,
        labelled,
        *,
        unlabelled=None,
        meta=None,
        validation=None,
        test=None,
        steps: int,
        run_dir: str | os.PathLike,
        epoch_steps: int | None = None,
        **plan,
    ) -> dict[str, Any]:
        """Trains up to `steps` steps in all, resuming what `run_dir` holds.

        A new run starts from the weights that the model has. One Trainer makes one run: another
        `run_dir` takes a new Trainer.

        Args:
            labelled: a `tf.data.Dataset` of global batches (images, labels), or one of our
                streams. Labels, here and below, are integers [n] or [n, 1], or probabilities or
                one-hot integers [n, classes]. It is repeated as often as needed, and a resumed run
                skips what it has seen, so its order should be a function of a seed. Shapes that it
                leaves open are those of the model's input.
            unlabelled: batches of images [n, H, W, C] or of one axis of views [n, V, H, W, C], as
                many as the method needs, optionally with true labels to watch, -1 where unknown.
            meta: batches like `labelled`, for policies that learn; one pass, of which those that
                cache features (`meta` by default) take all into memory.
            validation: finite batches (images, labels), evaluated at epoch ends as `val_error`,
                ...; the first batch is also read before the first step.
            test: the same, as `test_error`, ....
            steps: of the whole run.
            run_dir: where checkpoints, logs and the result go.
            epoch_steps: steps of an epoch; 1,000 by default.
            **plan: see `loop.Plan`: `max_steps`, `log_every`, `evaluate_every`,
                `checkpoint_every`; and `settings`, `labels_used`, and `dataset`, a name of the data
                for reports, which without it tell data apart by the test images alone.

        Returns:
            The content of `result.json`.

        Raises:
            UserError: data that is missing or that the model does not take, a run directory of
                another run, a new run after steps of another one, a loss
                or weights that are not finite, ...
            Interrupted: SIGTERM or SIGINT came; what was done is checkpointed.
        """
        initial_weights.check(self, run_dir)
        self._run_dir = run_dir
        epoch_steps = epoch_steps or min(steps, 1000)
        data = {"labelled": labelled, "unlabelled": unlabelled, "meta": meta}
        graphs = self.graphs(**data, epoch_steps=epoch_steps, steps=steps)
        given = {"val": validation, "test": test}
        evaluated = {part: batches for part, batches in given.items() if batches is not None}
        for part, batches in evaluated.items():
            graphs.scales[part] = self._evaluator.check(batches, part)
        if evaluated and not plan.keys() & {"settings", "dataset", "data"}:
            plan["data"] = lambda: fingerprint([*evaluated.values()][-1])
        try:
            return loop.fit(self, graphs, evaluated, run_dir, steps, epoch_steps, **plan)
        finally:
            if self.steps_taken:
                initial_weights.remember(self.model)

    def evaluate(self, test: Iterable) -> dict[str, float]:
        """Returns test error, loss and calibration of the current weights.

        Args:
            test: finite batches (images, labels).

        Returns:
            `error` and, with more than 10 classes, `error_top5` in percent; `loss`; `ece`, the
            expected calibration error in percent.
        """
        return self.measure(test).scores

    def measure(self, test: Iterable, between=None) -> Evaluation:
        """Returns what `evaluate` does, with the confusion matrix and confidences behind it.

        Args:
            test: finite batches (images, labels).
            between: called before each batch.
        """
        return self._evaluator.measure(test, between)

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
        """Returns the model card of the current weights; see `card.markdown`.

        What `fit` recorded stands on it where these are the weights that it recorded it of.
        """
        run = None if self._run_dir is None else model_card.read_run(self._run_dir)
        if run is not None and run.result["steps"] != self.steps_taken:
            run = None
        shape = ", ".join(map(str, self._stored.shape[1:]))
        return model_card.markdown(
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

    def learning_rate(self, step) -> tf.Tensor:
        """Returns eta of `step`."""
        rate = self._learning_rate
        return tf.convert_to_tensor(rate(step) if callable(rate) else rate, tf.float32)

    def graphs(self, *, epoch_steps: int, steps: int, **data) -> Graphs:
        """Makes what training needs, from the data and the length of the run.

        Args:
            epoch_steps: steps of an epoch.
            steps: steps of the whole run.
            **data: `labelled`, `unlabelled` and `meta`, as `fit` takes them.

        Raises:
            UserError: data that is missing or that the model does not take.
        """
        streams = inputs.collect(self, **data)
        self._image = inputs.image_spec(streams["labelled"])
        if not self.steps_taken:
            # The model may have been given other weights since the averages were made.
            self.network.start_averages()
        return Graphs(self, streams, epoch_steps, steps)


def _optimizer(name: str, learning_rate, momentum: float) -> keras.Optimizer:
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer={name!r} must be one of {', '.join(OPTIMIZERS)}")
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return SGD(learning_rate, momentum=momentum)


def _describe(learning_rate) -> Any:
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return {"schedule": type(learning_rate).__name__, **learning_rate.get_config()}
    return learning_rate
