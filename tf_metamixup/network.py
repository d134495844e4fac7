"""A Keras model as a function of its weights: `logits = network.forward(theta)(x)`."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_metamixup import replicas
from tf_metamixup.randomness import CALLS, Draws, fold


class Forward:
    """images [N, H, W, C] -> logits [N, classes] at fixed weights, in training mode.

    Calling it changes nothing. The state that its first call would leave behind (BatchNorm's
    moving statistics) is kept, and `Network.commit` is the only way it reaches the model.
    """

    def __init__(self, network: "Network", theta: Sequence[tf.Tensor], draws: Draws):
        self._network = network
        self._theta = list(theta)
        self._draws = draws
        self.state: list[tf.Tensor] | None = None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Logits with batch statistics and this step's dropout masks."""
        logits, state = self._network.apply(self._theta, x, self._draws)
        if self.state is None:
            self.state = state
        return logits


class Network:
    """A built Keras model that returns logits, and the scaling of its input.

    Args:
        model: the model; what it holds beside trainable variables may be moving statistics and
            random seeds.
        preprocess: stored images -> what the model takes; None leaves them as they are.
    """

    def __init__(self, model: keras.Model, preprocess=None):
        self.model = model
        self._preprocess = preprocess
        seeds = {id(v) for v in model.variables} - {id(w) for w in model.weights}
        self._seed_numbers = {}
        for number, variable in enumerate(model.non_trainable_variables):
            if id(variable) in seeds:
                self._seed_numbers[number] = len(self._seed_numbers)

    @property
    def theta(self) -> list[tf.Tensor]:
        """The current weights, as tensors."""
        return [tf.convert_to_tensor(v) for v in self.model.trainable_variables]

    def preprocess(self, images: tf.Tensor) -> tf.Tensor:
        """Stored images, any number of leading axes, to the model's input."""
        images = images if self._preprocess is None else self._preprocess(images)
        return tf.cast(images, self.model.compute_dtype)

    def forward(self, theta: Sequence[tf.Tensor], draws: Draws) -> Forward:
        """The model at `theta` with batch statistics and this step's dropout masks."""
        return Forward(self, theta, draws)

    def apply(self, theta: Sequence[tf.Tensor], x: tf.Tensor, draws: Draws):
        """(logits, state after the pass), a pure function of its arguments."""
        logits, state = self.model.stateless_call(theta, self._state(draws), x, training=True)
        return logits, state

    def commit(self, state: Sequence[tf.Tensor]) -> None:
        """Writes moving statistics, averaged over the replicas so that they never part."""
        kept = [
            (variable, value)
            for number, (variable, value) in enumerate(
                zip(self.model.non_trainable_variables, state, strict=True)
            )
            if number not in self._seed_numbers
        ]
        if kept:
            values = replicas.mean([tf.convert_to_tensor(value) for _, value in kept])
            for (variable, _), value in zip(kept, values, strict=True):
                variable.assign(value)

    def predict(self, images: tf.Tensor) -> tf.Tensor:
        """Stored images [N, ...] -> logits [N, classes], with moving statistics."""
        return self.model(self.preprocess(images), training=False)

    def _state(self, draws: Draws) -> list[tf.Tensor]:
        """The model's state with every random seed replaced by this step's."""
        state = []
        for number, variable in enumerate(self.model.non_trainable_variables):
            if number in self._seed_numbers:
                # A fold keeps what it folds in as its second half; only one more mixes it in.
                key = fold(fold(fold(draws.seed, "dropout"), self._seed_numbers[number]), "key")[0]
                replica = tf.cast(draws.piece, tf.int64) * CALLS
                state.append(tf.cast(tf.stack([key, replica]), variable.dtype))
            else:
                state.append(tf.convert_to_tensor(variable))
        return state
