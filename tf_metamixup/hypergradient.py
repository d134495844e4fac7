"""The gradient of a loss after a virtual step, with respect to what the step depended on.

Useful alone: nothing here knows of networks or of mixing.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_metamixup import replicas

Inner = Callable[[Sequence[tf.Tensor], tf.Tensor], tf.Tensor]
Outer = Callable[[Sequence[tf.Tensor]], tf.Tensor]


def nested(
    inner: Inner, outer: Outer, weights: Sequence[tf.Tensor], z: tf.Tensor, learning_rate
) -> tf.Tensor:
    """Differentiates outer(weights - learning_rate * d inner(weights, z) / d weights) in z.

    The paper's eq. 7 and 9 as they stand. On several replicas `inner` and `outer` are this
    replica's summands of the global losses; the sum over replicas is differentiated through, so
    the virtual step is the global one and the result is the gradient for the local `z`.

    Args:
        inner: (weights, z) -> scalar training loss.
        outer: (weights) -> scalar meta loss.
        weights: list of tensors or variables, theta.
        z: tensor of any shape.
        learning_rate: scalar, eta: a plain gradient step without momentum or weight decay.

    Returns:
        A tensor of the shape of `z`.
    """
    theta = [tf.convert_to_tensor(weight) for weight in weights]
    with tf.GradientTape(watch_accessed_variables=False) as meta_tape:
        meta_tape.watch(z)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(theta)
            loss = inner(theta, z)
        gradients = replicas.total(
            tape.gradient(loss, theta, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        )
        stepped = [
            weight - tf.cast(learning_rate, weight.dtype) * gradient
            for weight, gradient in zip(theta, gradients, strict=True)
        ]
        meta_loss = outer(stepped)
    return meta_tape.gradient(meta_loss, z, unconnected_gradients=tf.UnconnectedGradients.ZERO)
