"""What changes as training goes on: the clock, and schedules that are functions of it."""

from typing import NamedTuple

import tensorflow as tf


class Clock(NamedTuple):
    """Holds when a step happens.

    Attributes:
        step: int64 scalar, optimiser steps taken before this one.
        epoch: int64 scalar, from 0.
        learning_rate: scalar, eta of this step.
        progress: float32 scalar in [0, 1), the share of the run's steps that is done.
    """

    step: tf.Tensor
    epoch: tf.Tensor
    learning_rate: tf.Tensor
    progress: tf.Tensor


def falling_threshold(start: float, decay: float, period: int, epoch: tf.Tensor) -> tf.Tensor:
    """Computes max(0, sigma_0 - sigma_d * floor(t / K)), float32 scalar (paper III.C).

    The printed formula would give -0.55 at t = 30; this is what its sentence says, "decreased by
    sigma_d every K epochs".

    >>> float(falling_threshold(0.95, 0.05, 30, tf.constant(60)))
    0.8499999642372131
    """
    drops = tf.cast(epoch // period, tf.float32)
    return tf.maximum(0.0, start - decay * drops)


def linear_ramp(share: float, progress: tf.Tensor) -> tf.Tensor:
    """Computes min(1, t / T), T = `share` of the run (MixMatch's code); 1 at share 0.

    >>> float(linear_ramp(0.5, tf.constant(0.25)))
    0.5
    """
    return tf.minimum(1.0, progress / share) if share else tf.ones_like(progress)


def sigmoid_ramp(share: float, progress: tf.Tensor) -> tf.Tensor:
    """Computes exp(-5 (1 - t/T)^2) up to T = `share` of the run, then 1 (Tarvainen 2017)."""
    return tf.exp(-5.0 * (1 - linear_ramp(share, progress)) ** 2)
