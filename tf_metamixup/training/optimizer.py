"""SGD with the learning rate outside of the velocity, as PyTorch and TensorFlow 1 have it."""

import keras

from tf_metamixup.config import OPTIMIZERS
from tf_metamixup.core.errors import UserError


@keras.saving.register_keras_serializable(package="tf_metamixup")
class SGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD` with v <- m v + g, w <- w - eta v, for gradient g and momentum m.

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


def make_optimizer(name: str, learning_rate, momentum: float) -> keras.Optimizer:
    """Makes the optimizer of the real step.

    Raises:
        UserError: no such name.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer={name!r} must be one of {', '.join(OPTIMIZERS)}")
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return SGD(learning_rate, momentum=momentum)
