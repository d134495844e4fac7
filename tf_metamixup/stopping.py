"""SIGTERM and SIGINT as a question that the training loop asks between two calls.

A handler cannot write a checkpoint: the device may be in the middle of a step.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interrupted(BaseException):
    """Training stopped on a signal after it was checkpointed; the exit code is 128 + `signum`."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Stop:
    """Whether a signal has come.

    Attributes:
        signum: its number, else None.
        patient: whether there is something to save first. If not, a signal raises `Interrupted`
            where it finds the program, so that building a large graph does not delay the end.
    """

    def __init__(self):
        self.signum: int | None = None
        self.patient = False

    def __bool__(self) -> bool:
        return self.signum is not None

    def hear(self, signum: int) -> None:
        """What the signal handler does."""
        self.signum = signum
        if not self.patient:
            raise Interrupted(signum)


@contextlib.contextmanager
def listen() -> Iterator[Stop]:
    """Yields a `Stop` that SIGTERM or SIGINT sets; a second signal acts as it did before.

    Outside the main thread Python hears no signals, and the `Stop` stays unset.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def hear(signum, frame):
        del frame
        restore()
        stop.hear(signum)

    for number in before:
        signal.signal(number, hear)
    try:
        yield stop
    finally:
        restore()
