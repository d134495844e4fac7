"""The step in JAX, compiled."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


class Ops:
    """Operations on [N, H, W, C]; kernels [h, w, in, out]."""

    relu = staticmethod(jax.nn.relu)
    add_bias = staticmethod(lambda x, bias: x + bias)
    flatten = staticmethod(lambda x: x.reshape(len(x), -1))
    mean = staticmethod(lambda x: x.mean((1, 2)))

    @staticmethod
    def conv(x, kernel, stride):
        """Convolves with TensorFlow's "same" padding."""
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=LAYOUT
        )

    @staticmethod
    def pool(x):
        """Takes the maximum of 2x2 pixels."""
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    @staticmethod
    def norm(x, gamma, beta):
        """Normalizes by the moments of the batch."""
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) * lax.rsqrt(variance + 1e-5) * gamma + beta


def make(network, case, exact):
    """Returns a step (learning rate) -> (move of lambda's logits, gradients by name)."""
    weights = {name: jnp.asarray(value) for name, value in case["weights"].items()}
    state = {"w": weights, "v": jax.tree.map(jnp.zeros_like, weights)}
    names = ("x", "y", "x_meta", "y_meta", "start", "partner")
    data = {name: jnp.asarray(case[name]) for name in names}

    def entropy(w, x, y):
        return -(y * jax.nn.log_softmax(network(Ops, w, x))).sum(1).mean()

    def loss(w, lam, data):
        x, y, partner = (data[name] for name in ("x", "y", "partner"))
        by_image, by_row = lam[:, None, None, None], lam[:, None]
        mixed = by_image * x + (1 - by_image) * x[partner]
        return entropy(w, mixed, by_row * y + (1 - by_row) * y[partner])

    def meta_loss(z, w, rate, data):
        g = jax.grad(loss)(w, jax.nn.sigmoid(z), data)
        after = jax.tree.map(lambda value, slope: value - rate * slope, w, g)
        return entropy(after, data["x_meta"], data["y_meta"])

    @jax.jit
    def advance(state, rate, data):
        w, lam, move = state["w"], data["start"], jnp.zeros_like(data["start"])
        if exact:
            z = jnp.log(lam) - jnp.log1p(-lam)
            slope = jax.grad(meta_loss)(z, w, rate, data) / rate
            move = -slope / jnp.sqrt(jnp.square(slope).mean())
            lam = jax.nn.sigmoid(z + move)
        g = jax.grad(loss)(w, lam, data)
        v = jax.tree.map(lambda v, g, w: 0.9 * v + g + 1e-4 * w, state["v"], g, w)
        return {"w": jax.tree.map(lambda w, v: w - rate * v, w, v), "v": v}, move

    def step(rate):
        nonlocal state
        state, move = advance(state, rate, data)
        jax.block_until_ready(state)
        return move, state["v"]

    return step


numpy = np.asarray
