"""SGD with the learning rate outside of the velocity, as PyTorch and TensorFlow 1 have it."""

from collections.abc import Sequence

import keras

from tf_metamixup.config.defaults import OPTIMIZERS
from tf_metamixup.core.errors import require


@keras.saving.register_keras_serializable(package="tf_metamixup")
class SGD(keras.optimizers.SGD):
    """Changes Keras's SGD: v <- m v + g, w <- w - eta v, for gradient g and momentum m.

    Keras keeps eta inside, v <- m v - eta g, w <- w + v: the same at a constant rate, but after a
    drop of the rate it goes on for about 1 / (1 - m) steps at the old one. The codes of the paper's
    rows (MixUp, AdaMixUp, Oliver et al.) keep it outside.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Changes `variable` and its velocity."""
        gradient = keras.ops.cast(gradient, variable.dtype)
        learning_rate = keras.ops.cast(learning_rate, variable.dtype)
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            self.assign(velocity, self.momentum * velocity + gradient)
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        self.assign_sub(variable, learning_rate * gradient)


class Staged:
    """Steps some weights with an optimizer of their own, which may begin later than the other.

    One optimizer of all would correct Adam's bias by the steps of the whole run, and so take first
    steps that are several times too long with the moments of weights that begin to train late.

    Args:
        optimizer: of all weights that train from the start.
        late_optimizer: of the others; it has the rate of the whole run.
        late: the other weights.
    """

    def __init__(self, optimizer, late_optimizer, late: Sequence[keras.Variable]):
        self._optimizer, self._late_optimizer = optimizer, late_optimizer
        self._late = {id(variable) for variable in late}

    @property
    def iterations(self) -> keras.Variable:
        """Returns the number of steps of the whole run."""
        return self._optimizer.iterations

    @property
    def variables(self) -> list[keras.Variable]:
        """Returns the variables of both optimizers."""
        return [*self._optimizer.variables, *self._late_optimizer.variables]

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the state of both optimizers."""
        self._late_optimizer.build([v for v in variables if id(v) in self._late])
        self._optimizer.build([v for v in variables if id(v) not in self._late])

    def apply(self, gradients, variables: Sequence[keras.Variable]) -> None:
        """Changes `variables`, among them all late ones or none."""
        pairs = list(zip(gradients, variables, strict=True))
        # First, since the other counts the step that the rate depends on.
        if late := [pair for pair in pairs if id(pair[1]) in self._late]:
            self._late_optimizer.apply(*zip(*late, strict=True))
        early = [pair for pair in pairs if id(pair[1]) not in self._late]
        self._optimizer.apply(*zip(*early, strict=True))


def make_optimizer(name: str, learning_rate, momentum: float) -> keras.Optimizer:
    """Makes the optimizer of the real step.

    Raises:
        UserError: no such name.
    """
    require(name in OPTIMIZERS, f"optimizer={name!r}", f"be one of {', '.join(OPTIMIZERS)}")
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return SGD(learning_rate, momentum=momentum)
