"""SIGTERM and SIGINT as an exception that never tears a step or a checkpoint."""

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Iterator

# Seconds until a signal that came in a destructor is sent again.
AGAIN = 0.05
# Of the blocks that listen, outermost first.
_stops: list["Stop"] = []


class Interrupted(BaseException):
    """Says that training stopped on a signal, checkpointed; the exit code is 128 + `signum`."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Stop:
    """Says whether a signal has come.

    A signal raises `Interrupted` where it finds the program, so that building a graph, loading
    data or an evaluation does not delay the end; inside `deferred` it waits for the block's end.

    Attributes:
        signum: the signal that came, or None.
    """

    def __init__(self):
        self.signum: int | None = None
        self._deferring = 0  # how deep in blocks

    def handle(self, signum: int) -> None:
        """Handles a signal."""
        self.signum = signum
        if not self._deferring:
            raise Interrupted(signum)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Keeps a block whole that changes what a checkpoint holds; may hold further such blocks.

        Its code may raise `Interrupted(stop.signum)` where it can be left.
        """
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1
        # Also where Python lost the exception: it ignores those in destructors.
        if self.signum is not None and not self._deferring:
            raise Interrupted(self.signum)


@contextlib.contextmanager
def listen() -> Iterator[Stop]:
    """Yields a `Stop` that receives SIGTERM and SIGINT; a second signal acts as it did before.

    Outside the main thread Python receives no signals, and nothing ever stops.

    Raises:
        Interrupted: an outer block received a signal, and the exception was lost: some libraries
            catch whatever comes while they are imported.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    for outer in _stops:
        if outer.signum is not None:
            raise Interrupted(outer.signum)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(signum, frame):
        if any(each.f_code.co_name == "__del__" for each, _ in traceback.walk_stack(frame)):
            # Python would print what is raised here, with a traceback, and lose it.
            threading.Timer(AGAIN, os.kill, (os.getpid(), signum)).start()
            return
        restore()
        stop.handle(signum)

    for number in before:
        signal.signal(number, handle)
    _stops.append(stop)
    try:
        yield stop
    finally:
        _stops.remove(stop)
        restore()
