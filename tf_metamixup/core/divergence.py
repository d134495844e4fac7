"""Notices a network that has diverged or does not learn, and says what to change."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

# Standardized pixels stay within about 10: images with larger values have not been scaled.
LARGEST_SCALED = 16.0
# A loss between these shares of ln(classes) is that of a guess. Above 1, since the biases of a dead
# network still follow the classes of each batch.
GUESS = 0.99, 1.05
# Fewer steps say little, and a warm-up has hardly begun.
FEWEST_STEPS = 50

_DIVERGED = "the loss or a weight is not finite at step"


def all_finite(values: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns whether no floating-point value is NaN or infinite, a bool scalar."""
    tensors = [tf.convert_to_tensor(value) for value in values]
    return tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(each)) for each in tensors if each.dtype.is_floating]
    )


def advice(low: float, high: float) -> str:
    """Says what to change where training on images from `low` to `high` fails."""
    remedy = (
        "A new run with a lower learning rate, a longer warm-up (warmup_steps) or, where layers "
        "lack it, batch normalization (as cnn3(batch_norm=True, average_pool=True) has it) usually "
        "helps"
    )
    if max(-low, high) <= LARGEST_SCALED:
        return remedy
    return (
        f"The model is given images with values from {low:g} to {high:g}: scale them, for example "
        f"to [-1, 1], by `preprocess`, in the data or by a Rescaling layer. If the model does so: "
        f"{remedy[0].lower()}{remedy[1:]}"
    )


def stagnation(losses: Sequence[float], classes: int) -> str | None:
    """Returns a message if the training losses of some steps stay at that of a guess; else None."""
    if len(losses) < FEWEST_STEPS:
        return None
    # Medians, since the loss may have been anything on the way to where it stays; of both halves,
    # since that of a network which learns passes chance level.
    guess, halves = math.log(classes), np.array_split(losses, 2)
    if not all(GUESS[0] * guess < np.median(half) < GUESS[1] * guess for half in halves):
        return None
    return (
        f"the network does not learn: over {len(losses)} steps its training loss stayed at "
        f"{np.median(losses):.3f}, and chance level for {classes} classes is "
        f"ln({classes}) = {guess:.3f}"
    )


def collapse(images: str, class_name: str, step: int) -> str:
    """Returns a message for a network whose only answer is one class."""
    return (
        f"after step {step} the network predicts {class_name!r} for all {images} images. If it "
        "trains on its own pseudo-labels, these may have reinforced each other: then "
        "--method=fixmatch, which learns from confident ones alone, or fewer unlabelled images help"
    )


def assert_finite(values: Iterable[tf.Tensor], step: tf.Tensor, images: tf.Tensor):
    """Returns an operation that fails where `values`, after `step`, are not finite.

    `divergence_in` makes a message of it, with the range of `images` that the model was given.
    """
    details = [_DIVERGED, step, tf.reduce_min(images), tf.reduce_max(images)]
    return tf.debugging.Assert(all_finite(values), details)


def divergence_in(error: tf.errors.InvalidArgumentError) -> str | None:
    """Says what diverged and what to change, if that is the `error` of a graph."""
    found = re.search(rf"{_DIVERGED}\] \[(\S+)\] \[(\S+)\] \[(\S+)\]", error.message)
    if found is None:
        return None
    return f"{_DIVERGED} {found[1]}. {advice(float(found[2]), float(found[3]))}"
