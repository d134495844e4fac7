"""The gradient of a loss after a virtual step, with respect to what the step depended on.

Can be used on its own: nothing here depends on networks or mixing. Both functions are exact and
have the same signature. Given only some of the weights, with the others held fixed, the virtual
step changes only those.

Exact also where `inner` normalizes by the moments of a batch: see `core.moments`.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_metamixup.core.errors import require
from tf_metamixup.core.moments import exact_moments
from tf_metamixup.distribution import replicas

Inner = Callable[[Sequence[tf.Tensor], tf.Tensor], tf.Tensor]
Outer = Callable[[Sequence[tf.Tensor]], tf.Tensor]


@exact_moments()
def nested(
    inner: Inner, outer: Outer, weights: Sequence[tf.Tensor], z: tf.Tensor, learning_rate
) -> tf.Tensor:
    """Differentiates outer(weights - learning_rate * d inner(weights, z) / d weights) w.r.t. z.

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

    Raises:
        UserError: `z` or weights are integers, which have no gradient; `weights` is one tensor.

    With inner(w, z) = w z and outer(w) = w^2, w' = w - eta z and the gradient is -2 eta w':

    >>> inner, outer = lambda weights, z: weights[0] * z, lambda weights: weights[0] ** 2
    >>> float(nested(inner, outer, [tf.constant(1.0)], tf.constant(2.0), learning_rate=0.25))
    -0.25
    """
    theta, z = _theta(weights), _floating("z", z)
    with tf.GradientTape(watch_accessed_variables=False) as meta_tape:
        meta_tape.watch(z)
        gradients = replicas.total(_gradient(lambda theta: inner(theta, z), theta))
        meta_loss = outer(_stepped(theta, gradients, learning_rate))
    return meta_tape.gradient(meta_loss, z, unconnected_gradients="zero")


@exact_moments()
def vjp(
    inner: Inner, outer: Outer, weights: Sequence[tf.Tensor], z: tf.Tensor, learning_rate
) -> tf.Tensor:
    """Computes the same gradient as `nested`, without the meta pass inside the outer tape.

    theta' is linear in the training gradient g(z), so with v = d outer / d theta' the gradient is
    -learning_rate times the vector-Jacobian product of g with v. On several replicas g and v are
    summed by hand, and the product is that of the local g. Arguments, result and errors are those
    of `nested`.

    >>> inner, outer = lambda weights, z: weights[0] * z, lambda weights: weights[0] ** 2
    >>> float(vjp(inner, outer, [tf.constant(1.0)], tf.constant(2.0), learning_rate=0.25))
    -0.25
    """
    theta, z = _theta(weights), _floating("z", z)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(z)
        gradients = _gradient(lambda theta: inner(theta, z), theta)
    stepped = _stepped(theta, replicas.total(gradients), learning_rate)
    v = replicas.total(_gradient(outer, stepped))
    product = tape.gradient(gradients, z, output_gradients=v, unconnected_gradients="zero")
    return -tf.cast(learning_rate, product.dtype) * product


def _theta(weights) -> list[tf.Tensor]:
    require(isinstance(weights, list | tuple), f"weights of type {type(weights)}", "be a list")
    return [_floating("weights", weight) for weight in weights]


def _floating(name: str, values) -> tf.Tensor:
    values = tf.convert_to_tensor(values)
    kind = values.dtype
    require(kind.is_floating, f"{name} of type {kind.name}", "be floats, to have a gradient")
    return values


def _gradient(loss: Callable[[list[tf.Tensor]], tf.Tensor], theta: list[tf.Tensor]):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta)
        value = loss(theta)
    return tape.gradient(value, theta, unconnected_gradients="zero")


def _stepped(theta: list[tf.Tensor], gradients: list[tf.Tensor], learning_rate):
    """Takes the virtual step, eq. 7."""
    return [
        weight - tf.cast(learning_rate, weight.dtype) * gradient
        for weight, gradient in zip(theta, gradients, strict=True)
    ]
