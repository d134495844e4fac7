"""Checks within a graph, whose messages reach the user as they are written."""

import tensorflow as tf

_PROBLEM = "problem: "


def required(condition: tf.Tensor, stream: str, what: str, *values: tf.Tensor):
    """Returns a context: what is computed in it fails unless `condition` holds.

    Args:
        condition: bool scalar.
        stream: what the data is called in the message.
        what: the message, for people.
        *values: follow it.
    """
    return stated(condition, f"in the `{stream}` data, {what}", *values)


def stated(condition: tf.Tensor, problem: str, *values: tf.Tensor):
    """Returns a context like `required`, where the `problem` is not one of the data."""
    checked = tf.debugging.Assert(condition, [f"{_PROBLEM}{problem}", *values], summarize=32)
    return tf.control_dependencies([checked] if checked is not None else [])


def problem_of(error: tf.errors.InvalidArgumentError) -> str | None:
    """Says in one line what is wrong, if that is the `error` of a check here; else None."""
    lines = error.message.partition(_PROBLEM)[2].splitlines()
    return lines[0].replace("[", "").replace("]", "") if lines else None
