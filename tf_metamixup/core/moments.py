"""Batch moments whose second derivatives are exact, for the normalization layers of any model."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

_plain_moments = tf.nn.moments
_thread = threading.local()


@contextlib.contextmanager
def exact_moments() -> Iterator[None]:
    """Makes `tf.nn.moments` twice differentiable, on this thread and while the context lasts.

    Keras's BatchNormalization, GroupNormalization and LayerNormalization call it. It computes the
    variance as mean((x - c)^2) with c = stop_gradient(mean), whose first derivative is right and
    whose second derivative lacks that of -(mean - c)^2. This term is added here. It is zero, and so
    is its first derivative: values and gradients keep every bit.

    A `tf.function` that was traced outside of the context stays as it was traced.
    """
    before = getattr(_thread, "exact", False)
    _thread.exact = True
    try:
        yield
    finally:
        _thread.exact = before


def _moments(x, axes, shift=None, keepdims=False, name=None):
    mean, variance = _plain_moments(x, axes, shift, keepdims, name)
    if getattr(_thread, "exact", False):
        variance -= tf.square(mean - tf.stop_gradient(mean))
    return mean, variance


# Once and for the process, since replicas are traced on threads that take turns: one thread that
# put the original back would take the term from the others.
tf.nn.moments = _moments
