"""What changes as training goes on: the clock, and schedules that are functions of it."""

from typing import NamedTuple

import tensorflow as tf


class Clock(NamedTuple):
    """When a step happens.

    Attributes:
        step: int64 scalar, optimiser steps taken before this one.
        epoch: int64 scalar, from 0.
        learning_rate: scalar, eta of this step.
    """

    step: tf.Tensor
    epoch: tf.Tensor
    learning_rate: tf.Tensor


def falling_threshold(start: float, decay: float, period: int, epoch: tf.Tensor) -> tf.Tensor:
    """sigma_t = max(0, sigma_0 - sigma_d * floor(t / K)), float32 scalar (paper III.C).

    The printed formula would give -0.55 at t = 30; this is what its sentence says, "decreased by
    sigma_d every K epochs".
    """
    drops = tf.cast(epoch // period, tf.float32)
    return tf.maximum(0.0, start - decay * drops)
