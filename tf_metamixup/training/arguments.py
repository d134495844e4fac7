"""Checks of the plain values that `Trainer` is given; `config` checks those of the flags."""

import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

import keras

from tf_metamixup.core.errors import require

_SCHEDULE = "a keras.optimizers.schedules.LearningRateSchedule"
# What numbers must be, in words and as a function.
NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "learning_rate": (f"be a number of at least 0, or {_SCHEDULE}", lambda x: 0 <= x < math.inf),
    "momentum": ("lie in [0, 1)", lambda x: 0 <= x < 1),
    "weight_decay": ("be a number of at least 0", lambda x: 0 <= x < math.inf),
    "unfreeze_at": ("lie in (0, 1)", lambda x: 0 < x < 1),
}


def whole(name: str, value: Any, least: int, below: float = math.inf) -> int:
    """Returns a whole number of Python, NumPy or TensorFlow as Python's.

    Raises:
        UserError: it is none, or does not lie in [least, below).

    >>> whole("steps", 100, least=1)
    100
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    require(is_whole, f"{name}={value!r}", "be a whole number")
    value = operator.index(value)
    require(value >= least, f"{name}={value}", f"be at least {least}")
    require(value < below, f"{name}={value}", f"be less than {below:,.0f}")
    return value


def lengths(steps: Any, epoch_steps: Any) -> tuple[int, int]:
    """Returns the steps of a run and of an epoch, for which None is at most 1,000.

    Raises:
        UserError: one is no whole number of at least 1.
    """
    steps = whole("steps", steps, 1)
    return steps, min(steps, 1000) if epoch_steps is None else whole("epoch_steps", epoch_steps, 1)


def row_groups(value: Any, replicas: int) -> int:
    """Returns how many groups of rows are mixed apart; for None, one per replica.

    Raises:
        UserError: it is no multiple of the replicas.
    """
    groups = replicas if value is None else whole("row_groups", value, 1)
    allowed = f"be a multiple of the {replicas} replicas"
    require(groups % replicas == 0, f"row_groups={value}", allowed)
    return groups


def number(name: str, value: Any) -> float:
    """Returns a number, one of `NUMBERS`, as Python's.

    Raises:
        UserError: it is none, or not what is allowed.
    """
    allowed, holds = NUMBERS[name]
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    require(is_number and holds(float(value)), f"{name}={value!r}", allowed)
    return float(value)


def rate(value: Any) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns a learning rate: a number, or a schedule of Keras that can be written down.

    Raises:
        UserError: it is neither.
    """
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        try:
            value.get_config()
        except NotImplementedError:
            require(False, f"learning_rate={value!r}", "have get_config(), which a run records")
        return value
    return number("learning_rate", value)
