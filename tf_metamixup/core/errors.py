"""Errors for the user: one message, no traceback."""

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """Says what the user can correct; shown as one message, without a traceback.

    The message names the value, what is allowed and what to do; `main` prints it and exits.
    """


class UnknownNameError(UserError):
    """Says that nothing has a name on the command line; `main` exits as for any bad flag."""


class BackendError(UserError):
    """Says that Keras runs on another backend; no bad flag, so that `main` exits with 1."""


def require(holds: bool, what: str, allowed: str) -> None:
    """Raises UserError, "`what` must `allowed`", unless a condition holds.

    >>> require(0 < 0.5 < 1, "ema=0.5", "lie in (0, 1)")
    """
    if not holds:
        raise UserError(f"{what} must {allowed}")


@contextlib.contextmanager
def explained(what: str, *kinds: type[Exception], advice: str = "") -> Iterator[None]:
    """Raises UserError, "`what`: reason" and `advice`, for an error of these kinds in a block."""
    try:
        yield
    except kinds as error:
        raise UserError(f"{what}: {reason(error)}{advice}") from error


def reason(error: Exception) -> str:
    """Returns the system's message in `error`, without TensorFlow's prefixes and lines."""
    message = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    first = (message.splitlines() or [""])[0].rpartition("}} ")[2]
    # Which Python raised within a pipeline, after a description of that.
    return first.rpartition("UnreadableError: ")[2]
