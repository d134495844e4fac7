"""Puts a model, a method, a policy and an optimizer together: what is trained, and how."""

import collections
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup import methods, policies
from tf_metamixup.config.checks import check_jit
from tf_metamixup.config.defaults import LEARNING_RATES
from tf_metamixup.core.errors import UserError, require
from tf_metamixup.distribution.strategy import strategy_of
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.methods.method import Method
from tf_metamixup.models.checks import check_model
from tf_metamixup.models.network import Network
from tf_metamixup.training import arguments, initial_weights, inputs, mixed_precision
from tf_metamixup.training.audit import LabelAudit
from tf_metamixup.training.evaluation import Evaluator
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.optimizer import Staged, make_optimizer
from tf_metamixup.training.step import Recipe


class Learner:
    """Holds what `Graphs` compiles; see `Trainer` for the arguments.

    Attributes:
        network: the model as a function of its weights.
        recipe: what stays the same from step to step.
        hyper_parameters: JSON values that make two runs the same.
        workers: of the job.
        image: images as they are stored, once the data are known.
        label_audit: what a method that judges labels has found, once the data are known.
        unfreeze_at: the fraction of the run after which the body trains too; None: no such stage.
        label_smoothing: the fraction of each labelled target that is spread over all classes.
        first_trained: indices of the network's weights that train before that.
    """

    def __init__(
        self,
        model: keras.Model,
        method: str | Method = "supervised",
        policy: str | Any = "meta",
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
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
        meta_bfloat16: bool = False,
        jit: bool = False,
        unfreeze_at: float | None = None,
        ema: float | None = None,
        mix_until: float = 1.0,
        label_smoothing: float = 0.0,
    ):
        check_model(model)
        self.model = model
        self.classes = model.output_shape[-1]
        self.class_names = _class_names(class_names, self.classes)
        self.seed = arguments.whole("seed", seed, 0, below=2**32)
        if learning_rate is None:
            learning_rate = LEARNING_RATES.get(optimizer, 0.1)  # an unknown one is refused below
        self._learning_rate = arguments.rate(learning_rate)
        momentum = arguments.number("momentum", momentum)
        weight_decay = arguments.number("weight_decay", weight_decay)
        known = weight_decay_on in ("all", "kernels")
        require(known, f"weight_decay_on={weight_decay_on!r}", "be all or kernels")
        if unfreeze_at is not None:
            unfreeze_at = arguments.number("unfreeze_at", unfreeze_at)
        self.unfreeze_at = unfreeze_at
        self.strategy = strategy_of(model)
        self.workers = Workers(self.strategy)
        self.method = methods.METHODS.of(method, Method)
        self.policy = policies.POLICIES.of(policy, policies.Policy)
        policies.check(self.policy, self.method, mix_until=mix_until, rank=len(model.input_shape))
        methods.check_smoothing(self.method, label_smoothing)
        self.label_smoothing = label_smoothing
        replicas = self.strategy.num_replicas_in_sync
        self.row_groups = arguments.row_groups(row_groups, replicas)
        if meta_bfloat16:
            policies.check_meta_stage(self.policy, f"meta_bfloat16 with policy {policy}")
        if jit:
            check_jit(replicas)
        self.jit = jit
        in_bfloat16 = {"real": mixed_bfloat16, "meta": meta_bfloat16}
        self.network = self._network(preprocess, ema, in_bfloat16)
        body = [] if unfreeze_at is None else _body(model)
        with self.strategy.scope():
            self.optimizer = self._optimizer(optimizer, momentum, body)
            self.optimizer.build(self.network.trainable)
        waiting = {id(variable) for variable in body}
        self.first_trained = tuple(
            place for place, v in enumerate(self.network.trainable) if id(v) not in waiting
        )
        self.recipe = Recipe(
            network=self.network,
            method=self.method,
            policy=self.policy,
            optimizer=self.optimizer,
            weight_decay=[
                weight_decay if weight_decay_on == "all" or v.path.endswith("kernel") else 0.0
                for v in self.network.trainable
            ],
            groups=self.row_groups // replicas,
            mix_until=mix_until,
        )
        self.hyper_parameters = {
            "method": repr(self.method),
            "policy": repr(self.policy),
            "learning_rate": _describe(self._learning_rate),
            "optimizer": optimizer,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "weight_decay_on": weight_decay_on,
            "seed": self.seed,
            "replicas": replicas,
            "row_groups": self.row_groups,
            "mixed_bfloat16": mixed_bfloat16,
            "jit": jit,
            "parameters": self.parameters,
        }
        chosen = {
            "unfreeze_at": unfreeze_at,
            "ema": ema,
            "label_smoothing": label_smoothing or None,
            "meta_bfloat16": meta_bfloat16 or None,
            "mix_until": mix_until if mix_until < 1 else None,
        }
        self.hyper_parameters |= {name: v for name, v in chosen.items() if v is not None}
        self.image: tf.TensorSpec | None = None
        self.label_audit: LabelAudit | None = None

    def _network(self, preprocess, ema, in_bfloat16: dict[str, bool]) -> Network:
        if self.policy.reads_meta:
            mixed_precision.multiply_in_full()
        low_precision = None
        low_stages = [stage for stage, low in in_bfloat16.items() if low]
        if low_stages:
            methods.check_precision(self.method)
            low_precision = mixed_precision.low_precision_copy(self.model)
        with self.strategy.scope():
            return Network(
                self.model,
                preprocess,
                self.method.parts(self.model),
                *methods.averaging(self.method, ema),
                low_precision,
                self.method.memory(self.classes),
                low_stages,
            )

    def _optimizer(self, name: str, momentum: float, body: list[keras.Variable]):
        """Makes the optimizer; a second one trains the variables of the body, which wait."""
        first = make_optimizer(name, self._learning_rate, momentum)
        if not body:
            return first
        return Staged(first, make_optimizer(name, self._rate_now, momentum), body)

    @property
    def parameters(self) -> int:
        """Returns the number of trainable parameters of the model."""
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """Returns the variables of the network and the optimizer, in a stable order."""
        return [*self.network.variables, *self.optimizer.variables]

    @property
    def checkpointed_model(self) -> dict[str, Any]:
        """Describes the model for a checkpoint, and which `variables` are weights."""
        place = {id(variable): place for place, variable in enumerate(self.variables)}
        values = [place[id(variable)] for variable in self.network.evaluated]
        known = {"class_names": self.class_names, "values": values}
        return initial_weights.describe(self.model) | known

    @property
    def steps_taken(self) -> int:
        """Returns the number of steps behind the current weights."""
        return int(self.optimizer.iterations.numpy())

    def learning_rate(self, step) -> tf.Tensor:
        """Returns eta of `step`."""
        rate = self._learning_rate
        return tf.convert_to_tensor(rate(step) if callable(rate) else rate, tf.float32)

    def _rate_now(self) -> tf.Tensor:
        return self.learning_rate(self.optimizer.iterations)

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        """Measures the current weights."""
        return Evaluator(self.network, self.strategy)

    def graphs(self, *, epoch_steps: int, steps: int, audited=None, **data) -> Graphs:
        """Makes what training needs, from the data and the length of the run.

        Args:
            epoch_steps: steps of an epoch.
            steps: steps of the whole run.
            audited: `Audited` images, for a method that audits labels.
            **data: `labelled`, `unlabelled` and `meta`, as `fit` takes them.

        Raises:
            UserError: data that is missing or that the model does not take.
        """
        streams = inputs.collect(self, **data)
        self.image = inputs.image_spec(streams["labelled"])
        if not self.steps_taken:
            # The model may have been given other weights since the averages were made.
            self.network.start_averages()
        graphs = Graphs(self, streams, epoch_steps, steps, audited)
        self.label_audit = graphs.label_audit
        return graphs


def _class_names(given: Sequence[str] | None, classes: int) -> list[str]:
    names = list(map(str, range(classes) if given is None else given))
    if len(names) != classes:
        raise UserError(
            f"class_names has {len(names)} names, but the model returns {classes} logits: give one "
            "name per class, in the order of the labels"
        )
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise UserError(
                f"class_names has {name!r} for several classes, which results and exports tell "
                "apart by their names"
            )
        if "\n" in name or "\r" in name:
            raise UserError(f"class_names has {name!r}: labels.txt takes no name with a line break")
    return names


def _body(model: keras.Model) -> list[keras.Variable]:
    """Returns the trainable variables of the layer "body"."""
    for layer in model.layers:
        if layer.name == "body" and layer.trainable_variables:
            return layer.trainable_variables
    raise UserError(
        "unfreeze_at says when the layer named 'body' begins to train, but the model "
        f"{model.name!r} has none with trainable variables"
    )


def _describe(learning_rate) -> Any:
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return {"schedule": type(learning_rate).__name__, **learning_rate.get_config()}
    return learning_rate
