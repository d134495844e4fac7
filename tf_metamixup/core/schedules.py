"""What changes as training goes on: the clock, and schedules that are functions of it."""

import bisect
from typing import Any, NamedTuple

import keras
import tensorflow as tf


class Clock(NamedTuple):
    """Holds when a step happens.

    Attributes:
        step: int64 scalar, optimizer steps taken before this one.
        epoch: int64 scalar, from 0.
        learning_rate: scalar, eta of this step.
        progress: float32 scalar in [0, 1), the share of the run's steps that is done.
    """

    step: tf.Tensor
    epoch: tf.Tensor
    learning_rate: tf.Tensor
    progress: tf.Tensor


def steps_before(share: float, steps: int) -> int:
    """Returns how many of `steps` are taken before `Clock.progress` reaches `share`.

    >>> steps_before(0.55, 100)
    55
    """
    # A product would be off by one: 0.55 * 100 is above 55.
    return bisect.bisect_left(range(steps), share, key=lambda step: step / steps)


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Raises a learning rate linearly over the first steps (Goyal et al. 2017).

    The rate of step t is min(1, (t + 1) / warmup_steps) times what it would be without.

    The rate is a number, or a Keras schedule of the step; it takes at least 1 step to reach it.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        warmup_steps: int,
    ):
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps

    def __call__(self, step):
        """Returns the rate of `step`, counted from 0: a float32 scalar."""
        rate = self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate
        share = tf.minimum(1.0, (tf.cast(step, tf.float32) + 1) / self.warmup_steps)
        return tf.cast(rate, tf.float32) * share

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments in the form that JSON takes."""
        rate = self.learning_rate
        if callable(rate):
            rate = keras.optimizers.schedules.serialize(rate)
        return {"learning_rate": rate, "warmup_steps": self.warmup_steps}


def warm_up(learning_rate, warmup_steps: int):
    """Returns a `WarmUp`, or the learning rate unchanged if `warmup_steps` is 0."""
    return WarmUp(learning_rate, warmup_steps) if warmup_steps else learning_rate


def falling_threshold(start: float, decay: float, period: float, passed: tf.Tensor) -> tf.Tensor:
    """Computes max(0, sigma_0 - sigma_d * floor(t / K)), float32 scalar (paper III.C).

    The printed formula would give -0.55 at t = 30; this is what its sentence says, "decreased by
    sigma_d every K epochs". `passed`, the time t, has the unit of `period`: epochs, int64, or a
    share of the run, float32.

    >>> float(falling_threshold(0.95, 0.05, 30, tf.constant(60)))
    0.8499999642372131
    """
    drops = tf.cast(passed // period, tf.float32)
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


def warmed_up(decay: float, step: tf.Tensor) -> tf.Tensor:
    """Computes the decay min(decay, (1 + t) / (10 + t)) of a running mean at step t, from 0.

    As `tf.train.ExponentialMovingAverage` has it with `num_updates`: the mean is over the last
    ninth of the steps until those are 1 / (1 - decay). With a constant decay of 0.999 the values of
    the first steps last for thousands.

    >>> float(warmed_up(0.999, tf.constant(80)))
    0.9
    """
    step = tf.cast(step, tf.float64)
    return tf.minimum(tf.constant(decay, tf.float64), (1 + step) / (10 + step))
