"""A Keras model as a function of its weights: `logits = network.forward(theta)(x)`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_metamixup.core import schedules
from tf_metamixup.core.rng import CALLS, Draws, fold
from tf_metamixup.distribution import replicas
from tf_metamixup.models import head


class Forward:
    """Maps images [N, H, W, C] to logits [N, classes] at fixed weights, in training mode.

    Calling it changes nothing. The state that the first pass through each layer would leave behind
    (BatchNorm's moving statistics) is kept, and `Network.commit` is the only way it reaches the
    model.

    Attributes:
        draws: this step's random numbers.
        state: values of the model's non-trainable variables, by `id` of the variable.
        memory: what the method remembers, by name.
    """

    def __init__(
        self, network: "Network", model: keras.Model, theta: Sequence[tf.Tensor], draws: Draws
    ):
        self._network = network
        self._model = model
        self._theta = list(theta)
        self.draws = draws
        self.state: dict[int, tf.Tensor] = {}
        self.memory = {name: tf.convert_to_tensor(v) for name, v in network.memory.items()}

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Returns logits with batch statistics and this step's dropout masks."""
        return self._run(self._model, x)

    def part(self, name: str, x):
        """Applies a further part of the network to `x`."""
        return self._run(self._network.parts[name], x)

    def average(self) -> "Forward":
        """Returns the model at the average of its weights over the steps so far."""
        own = len(self._network.model.trainable_variables)
        averages = [tf.convert_to_tensor(v) for v in self._network.averages[:own]]
        theta = [*averages, *self._theta[own:]]
        return Forward(self._network, self._model, theta, self.draws)

    def _run(self, model: keras.Model, x):
        outputs, state = self._network.apply(model, self._theta, x, self.draws)
        self.state = state | self.state
        return outputs


class Network:
    """Wraps a built Keras model that returns logits as a function of its weights.

    Args:
        model: the model; what it holds besides trainable variables may be moving statistics and
            random seeds.
        preprocess: stored images -> what the model takes; None leaves them as they are.
        parts: further Keras models by name, made of the model's layers or of new ones. The
            trainable variables of new ones are trained with the model's; their moving statistics
            are never read.
        average: decay of an exponential average of the model's weights, moving statistics included;
            None keeps none. It is less in the first steps: see `schedules.warmed_up`.
        predicts_average: whether evaluation and export use the average.
        low_precision: a copy of the model that computes in lower precision (see
            `mixed_precision`); None makes all passes with the model.
        low_stages: whose passes the copy makes: those of the "real" step and of label guessing, of
            the "meta" stage, or both.
        memory: first values of what a method remembers from step to step, by name.

    Attributes:
        trainable: the trainable variables, the model's first: what `theta` are the values of.
        averages: one variable for each trainable one of the model, then one for each of its moving
            statistics; empty without an average.
        averaged: decay of the average that is evaluated and exported; None where it is the weights.
        head: indices in `trainable` of the weights of the head; see `models.head`.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocess=None,
        parts: Mapping[str, keras.Model] | None = None,
        average: float | None = None,
        predicts_average: bool = False,
        low_precision: keras.Model | None = None,
        memory: Mapping[str, Any] | None = None,
        low_stages: Collection[str] = ("real",),
    ):
        self.model = model
        self._low_precision = low_precision
        self._low_stages = () if low_precision is None else low_stages
        self.parts = dict(parts or {})
        self._preprocess = preprocess
        models = [model, *self.parts.values()]
        self.trainable = _distinct(v for m in models for v in m.trainable_variables)
        self._place = {id(variable): place for place, variable in enumerate(self.trainable)}
        stepped = [v for layer in head.layers(model) for v in layer.trainable_variables]
        self.head = tuple(sorted(self._place[id(variable)] for variable in stepped))
        # Random seeds are variables of a Keras model, and none of its weights.
        weights = {id(w) for m in models for w in m.weights}
        others = _distinct(v for m in models for v in m.non_trainable_variables)
        seeds = [v for v in others if id(v) not in weights]
        self._seed_numbers = {id(variable): number for number, variable in enumerate(seeds)}
        self.memory = {
            name: unlearned(tf.constant(value, model.variable_dtype), name)
            for name, value in (memory or {}).items()
        }
        self._average = average
        self.averaged = average if predicts_average else None
        self._followed = [] if average is None else _averaged(model)
        self.averages = copies(self._followed)

    @property
    def theta(self) -> list[tf.Tensor]:
        """Returns the current weights, as tensors."""
        return [tf.convert_to_tensor(v) for v in self.trainable]

    @property
    def variables(self) -> list[keras.Variable]:
        """Returns all variables, in a stable order."""
        models = [self.model, *self.parts.values()]
        own = [*self.averages, *self.memory.values()]
        return _distinct([*(v for m in models for v in m.variables), *own])

    @property
    def evaluated(self) -> list[keras.Variable]:
        """Returns the model's weights in order, averaged where predictions use the average."""
        return self._in_use(self.model.weights)

    def start_averages(self) -> None:
        """Sets the averages to the weights, which may be others than when they were made."""
        for average, variable in zip(self.averages, self._followed, strict=True):
            average.assign(variable)

    def preprocess(self, images: tf.Tensor) -> tf.Tensor:
        """Maps stored images, any number of leading axes, to the model's input."""
        images = images if self._preprocess is None else self._preprocess(images)
        return tf.cast(images, self.model.compute_dtype)

    def forward(self, theta: Sequence[tf.Tensor], draws: Draws, *, stage: str = "real") -> Forward:
        """Returns the model at `theta`, values of `trainable`, in training mode.

        It computes in the precision that `stage`, "real" or "meta", has.
        """
        model = self._low_precision if stage in self._low_stages else self.model
        return Forward(self, model, theta, draws)

    def apply(self, model: keras.Model, theta: Sequence[tf.Tensor], x, draws: Draws):
        """Computes (outputs, state after the pass by `id` of the variable), a pure function.

        `model` is the network's model, its low-precision copy or one of its parts.
        """
        # A copy's own variables stand in the same order, and hold nothing.
        owner = self.model if model is self._low_precision else model
        weights = [theta[self._place[id(v)]] for v in owner.trainable_variables]
        state = [self._value(v, draws) for v in owner.non_trainable_variables]
        outputs, after = model.stateless_call(weights, state, x, training=True)
        # What a layer in inference mode leaves as it is is no news, also to other replicas.
        return outputs, {
            id(variable): tf.convert_to_tensor(value)
            for variable, given, value in zip(
                owner.non_trainable_variables, state, after, strict=True
            )
            if value is not given
        }

    def commit(
        self,
        state: Mapping[int, tf.Tensor],
        step: tf.Tensor,
        memory: Mapping[str, tf.Tensor] | None = None,
    ) -> None:
        """Writes what a step leaves behind besides weights, after the optimizer.

        The statistics are averaged over the replicas, so they stay identical across replicas.

        Args:
            state: of a `Forward`.
            step: the steps taken before this one, for the averages that follow the weights.
            memory: what the method remembers from now on, by name.
        """
        for name, value in (memory or {}).items():
            self.memory[name].assign(value)
        kept = [
            variable
            for variable in self.model.non_trainable_variables
            if id(variable) in state and id(variable) not in self._seed_numbers
        ]
        if kept:
            values = replicas.mean([state[id(variable)] for variable in kept])
            for variable, value in zip(kept, values, strict=True):
                variable.assign(value)
        for average, variable in zip(self.averages, self._followed, strict=True):
            value = tf.convert_to_tensor(average)
            share = 1 - schedules.warmed_up(self._average, step)
            average.assign(
                value + tf.cast(share, value.dtype) * (tf.convert_to_tensor(variable) - value)
            )

    def predict(self, images: tf.Tensor) -> tf.Tensor:
        """Maps stored images [N, ...] to logits [N, classes], with moving statistics."""
        return self.infer(self.preprocess(images))

    def infer(self, x: tf.Tensor, model: keras.Model | None = None) -> tf.Tensor:
        """Maps scaled images [N, ...] to logits [N, classes], with moving statistics.

        Args:
            x: what `preprocess` gives, or mixtures of it.
            model: one that ends in another of the model's layers, for what that layer gives.
        """
        model = model or self.model
        if self.averaged is None:
            return model(x, training=False)
        weights, state = (
            [tf.convert_to_tensor(variable) for variable in self._in_use(variables)]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )
        return model.stateless_call(weights, state, x, training=False)[0]

    def _in_use(self, variables: Iterable[keras.Variable]) -> list[keras.Variable]:
        """Returns, for each variable of the model, what predictions read in its place."""
        if self.averaged is None:
            return list(variables)
        averages = {id(v): a for v, a in zip(self._followed, self.averages, strict=True)}
        return [averages.get(id(v), v) for v in variables]

    def _value(self, variable: keras.Variable, draws: Draws) -> tf.Tensor:
        """Returns a non-trainable variable; a random seed is replaced by this step's."""
        number = self._seed_numbers.get(id(variable))
        if number is None:
            return tf.convert_to_tensor(variable)
        # A fold keeps what it folds in as its second half; only one more mixes it in.
        key = fold(fold(fold(draws.seed, "dropout"), number), "key")[0]
        replica = tf.cast(draws.shard, tf.int64) * CALLS
        return tf.cast(tf.stack([key, replica]), variable.dtype)


def _distinct(variables) -> list[keras.Variable]:
    """Returns each variable once, in the order of its first position."""
    return list({id(variable): variable for variable in variables}.values())


def _averaged(model: keras.Model) -> list[keras.Variable]:
    """Returns what an average is kept of: the trainable variables, then the moving statistics.

    Those of the last weights are off for averaged ones: in the middle of a run on CIFAR-10 the
    error was 62 % with them and 52 % with averaged ones.
    """
    statistics = [v for v in model.non_trainable_weights if v.dtype.startswith("float")]
    return [*model.trainable_variables, *statistics]


def copies(variables: Sequence[keras.Variable]) -> list[keras.Variable]:
    """Makes variables of the same values, which are not trained."""
    return [unlearned(tf.convert_to_tensor(v), f"{v.name}_copy") for v in variables]


def unlearned(value: tf.Tensor, name: str) -> keras.Variable:
    """Makes a variable that is not trained."""
    # Every replica computes the same.
    how = {"trainable": False, "aggregation": "only_first_replica"}
    return keras.Variable(value, dtype=value.dtype.name, name=name, **how)
