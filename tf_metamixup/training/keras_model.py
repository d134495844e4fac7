"""Integrates the step with Keras: a model whose `compile` and `fit` mix images."""

import inspect
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup.core import divergence
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.core.schedules import Clock
from tf_metamixup.distribution import replicas
from tf_metamixup.distribution.strategy import strategy_of
from tf_metamixup.methods.batch import evenly_sharded, make_batch, translate_data_errors, with_pairs
from tf_metamixup.methods.method import METHODS, Method
from tf_metamixup.models.checks import check_model
from tf_metamixup.models.network import Network
from tf_metamixup.policies import POLICIES, Policy
from tf_metamixup.training import arguments
from tf_metamixup.training.epoch_means import EpochMeans
from tf_metamixup.training.feature_cache import FeatureCache
from tf_metamixup.training.keras_callbacks import ScaleCallback, StagnationCallback
from tf_metamixup.training.keras_checks import (
    check_loss,
    check_optimizer,
    check_options,
    check_served,
    check_tensors,
    check_validation,
    lambdas_in_range,
)
from tf_metamixup.training.meta_set import MetaSet
from tf_metamixup.training.step import Recipe, train_step


class MixUpModel(keras.Model):
    """Wraps a Keras classifier so that `fit` trains on images mixed with learned or drawn lambdas.

    It shares the variables of the given model, so `fit` trains that model. Differences from Keras:

    - `fit` logs `loss`, that of the mixed images, `lambda_mean`, and `lambda_move`, the mean of how
      far learning moved lambda's logits, either way. The metrics of `compile` are those of
      evaluation and of validation, `val_...`: mixed images have no accuracy.
    - The optimizer makes the real step, with its own momentum and weight decay. Keras decouples the
      latter, and keeps the rate inside the velocity, which the SGD of `Trainer` does not. The
      virtual step is plain gradient descent with the optimizer's learning rate at that moment.
    - Everything drawn is a function of `seed` and the optimizer's count of steps.
    - `save`, and so `ModelCheckpoint`, and `export` write the given model. It loads without this
      package; a network of `tmm.models` with BatchNorm, or of its `keras`, needs `import
      tf_metamixup.models` first. To save weights alone, use `save_weights` of the given model.
    - Under `tf.distribute.MirroredStrategy` each global batch must divide evenly.

    >>> mixed = MixUpModel(keras.Sequential([keras.Input([4]), keras.layers.Dense(3)]), "beta")
    >>> mixed.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> log = mixed.fit(np.eye(4, dtype="float32"), np.array([0, 1, 2, 0]), verbose=0)
    >>> sorted(log.history)
    ['lambda_mean', 'lambda_move', 'loss']

    Args:
        model: a built `keras.Model` that returns logits [N, classes]. For several GPUs, build it
            inside `tf.distribute.MirroredStrategy().scope()`.
        policy: where lambda comes from: `name(option=value)` or an instance; see
            `tmm.policies.names()`.
        method: the same; see `tmm.methods.names()`. One that takes unlabelled images is refused.
        meta: held-out images for policies that learn, kept in memory: arrays (images, labels), or
            a finite `tf.data.Dataset` of batches. A policy that caches features (`meta` by default)
            uses all of them at every step; others as many as a batch has rows, in seeded passes.
        seed: of everything drawn while training.

    Raises:
        UserError: a model, method, policy or data that `fit` does not support.
    """

    def __init__(
        self,
        model: keras.Model,
        policy: str | Policy = "meta",
        method: str | Method = "supervised",
        *,
        meta: tuple[Any, Any] | tf.data.Dataset | None = None,
        seed: int = 0,
    ):
        check_model(model)
        method, policy = METHODS.of(method, Method), POLICIES.of(policy, Policy)
        strategy = strategy_of(model)
        check_served(method, policy, strategy, model)
        with strategy.scope():
            super().__init__(name=f"mixed_{model.name}")
            self.model = model
            self._method, self._policy = method, policy
            self._seed = arguments.whole("seed", seed, 0, below=2**32)
            self._mixes = policy.mixes or method.learns_lambda
            self._classes, self._meta = model.output_shape[-1], None
            if policy.reads_meta:
                self._meta = MetaSet(meta, policy, model)
            elif meta is not None:
                warnings.warn(f"policy {policy} does not use `meta` data", stacklevel=2)
            # An attribute, so that Keras saves the layers that a method adds.
            self._parts = method.parts(model)
            self._means = EpochMeans()
            self._scales = ScaleCallback()
            self._stagnation = StagnationCallback(self._classes, self._scales)
            self._feature_cache = None
            self.built = True

    def compile(
        self, optimizer="sgd", loss=None, metrics=None, *, jit_compile="auto", **options
    ) -> None:
        """Compiles the model as Keras does.

        Args:
            optimizer: any Keras optimizer except one that scales losses.
            loss: `keras.losses.SparseCategoricalCrossentropy(from_logits=True)` for integer labels,
                `CategoricalCrossentropy(from_logits=True)` for one-hot ones; no other loss is
                supported.
            metrics: computed in evaluation only.
            jit_compile: must not be True; "auto" means False.
            **options: other options of Keras, except `loss_weights`.

        Raises:
            UserError: one of these is something else, or the head of the model cannot be split off.
        """
        check_loss(loss)
        if isinstance(optimizer, keras.Optimizer):
            check_optimizer(optimizer)
            own = getattr(optimizer.iterations.value, "distribute_strategy", None)
            if own is not getattr(self.model.variables[0].value, "distribute_strategy", None):
                raise UserError(
                    "the optimizer and the model were not made in the scope of the same "
                    "tf.distribute strategy: make and compile both in it"
                )
        check_options(jit_compile, options.get("loss_weights"))
        with self.distribute_strategy.scope():
            super().compile(optimizer, loss, metrics=metrics, jit_compile=False, **options)
            check_optimizer(self.optimizer)
            self._network = Network(self.model, parts=self._parts)
            self.optimizer.build(self._network.trainable)
            self._feature_cache = None
            if self._policy.caches_features:
                self._feature_cache = FeatureCache(
                    self._network, self._meta.images, self._meta.labels, self._classes
                )

    def fit(self, *args, **kwargs) -> keras.callbacks.History:
        """Trains the model as Keras does, without `class_weight` and `sample_weight`.

        Raises:
            UserError: data that the model or the step does not take; the loss or a weight is not
                finite.
        """
        given = inspect.signature(super().fit).bind(*args, **kwargs).arguments
        callbacks, added = given.get("callbacks"), [self._scales, self._stagnation]
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            given["callbacks"] = [*keras.tree.flatten(callbacks or []), *added]
        elif self._scales not in callbacks.callbacks:
            callbacks.callbacks.extend(added)
        validation = given.get("validation_data")
        check_validation(validation, self._classes)
        self._scales.compare(meta=self._meta and self._meta.images, validation=validation)
        with translate_data_errors():
            history = super().fit(**given)
        if history.epoch and "loss" not in history.history:
            raise UserError("the `labelled` data is empty: it gives no batch")
        return history

    def train_step(self, data) -> dict[str, tf.Tensor]:
        """Takes `step.train_step` on this replica's rows; Keras calls it."""
        given = keras.utils.unpack_x_y_sample_weight(data)
        x, y = check_tensors("labelled", self.model, *given, loss=self.loss)
        before = self._scales.observe(x)
        step = tf.cast(self.optimizer.iterations, tf.int64)
        draws = Draws.at(self._seed, step, replicas.index(), replicas.count())
        raw = {"labelled": (with_pairs(evenly_sharded(x), before, mixes=self._mixes), y)}
        if self._meta is not None and self._feature_cache is None:
            raw["meta"] = self._meta.rows(self._seed, step, tf.shape(x, tf.int64)[0])
        batch = make_batch(raw, self._network, self._classes)
        if self._feature_cache is not None:
            self._feature_cache.refresh(draws, step % self._policy.refresh == 0)
            x_meta, y_meta = self._feature_cache.rows()
            batch = batch._replace(x_meta=x_meta, y_meta=y_meta)
        recipe = Recipe(
            network=self._network,
            method=self._method,
            policy=self._policy,
            optimizer=self.optimizer,
            weight_decay=[0.0] * len(self._network.trainable),
            groups=1,
            feature_cache=self._feature_cache,
        )
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        # `fit` does not pass on how much of the run is done; no accepted method reads it.
        clock = Clock(step, tf.zeros_like(step), rate, tf.zeros_like(rate))
        report = train_step(recipe, batch, clock, draws)
        values = [report.metrics["train_loss"][0], *self._network.theta]
        finite = divergence.assert_finite(values, step + 1, batch.x)
        with tf.control_dependencies([finite]), lambdas_in_range(self._policy, report.lambdas):
            return self._means.update(report)

    def call(self, inputs, training=None):
        """Returns logits."""
        return self.model(inputs, training=training)

    def get_metrics_result(self) -> dict:
        """Returns Keras's metrics; nothing before the first evaluation."""
        # `fit` also asks for the metrics of `compile`, which exist once something is evaluated.
        built = all(getattr(metric, "built", True) for metric in self.metrics)
        return super().get_metrics_result() if built else {}

    def reset_metrics(self) -> None:
        """Resets Keras's metrics; `fit` calls it at the beginning of an epoch."""
        super().reset_metrics()
        self._means.reset()

    def save(self, filepath, overwrite=True, zipped=None, **kwargs) -> None:
        """Saves the given model, without the optimizer."""
        self.model.save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def export(self, *args, **kwargs) -> None:
        """Exports the given model, as Keras does."""
        self.model.export(*args, **kwargs)

    def save_own_variables(self, store) -> None:
        """Saves the feature cache, so that `BackupAndRestore` goes on with features as old."""
        for place, variable in enumerate(self._cached_variables()):
            store[str(place)] = np.asarray(variable)

    def load_own_variables(self, store) -> None:
        """Loads the feature cache; where nothing was cached, the next step computes it."""
        for place, variable in enumerate(self._cached_variables()):
            if str(place) in store:
                variable.assign(np.asarray(store[str(place)]))

    def _cached_variables(self) -> list[keras.Variable]:
        return self._feature_cache.variables if self._feature_cache else []
