"""How the processes of a job find each other before TensorFlow connects them."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

from tf_metamixup.core.errors import UserError, explained

# How long workers that have started wait for the others, in seconds.
TIMEOUT = 600
_HELLO = b"tf_metamixup worker "


def await_workers(addresses: list[str], own: int, timeout: float = TIMEOUT) -> None:
    """Returns when all workers of a job have started.

    TensorFlow alone would block indefinitely, in silence, and ignore signals. `addresses` are
    host:port of each worker, and that of this process stands at `own`.

    Raises:
        UserError: the own port is taken, or a worker does not come.
    """
    what = f"this process cannot listen on {addresses[own]}, its address in TF_CONFIG"
    advice = "; give each worker an address of its own machine and a free port"
    with explained(what, OSError, advice=advice):
        listener = socket.create_server(("", port(addresses[own])))
    others = set(range(len(addresses))) - {own}
    visited: set[int] = set()
    warned, deadline = False, time.monotonic() + timeout
    with listener, _received(listener) as visitors:
        # Also until all have been here, so that no worker still connects when the socket closes.
        while missing := others - (visited & visitors):
            visited |= {each for each in others - visited if _visit(addresses[each], own)}
            names = ", ".join(addresses[each] for each in sorted(missing))
            if time.monotonic() > deadline:
                raise UserError(
                    f"the workers {names} of TF_CONFIG did not answer within {timeout:.0f} "
                    "seconds; start one process for each address, where all can reach it, and look "
                    "at their logs"
                )
            if not warned and not missing <= visited:
                print(f"waiting for the workers {names}", file=sys.stderr)
                warned = True
            time.sleep(0.1)


def _visit(address: str, own: int) -> bool:
    """Returns whether a worker that waits too is at `address`, not an older job's server."""
    host = address.rpartition(":")[0]
    try:
        with socket.create_connection((host, port(address)), timeout=1) as connection:
            connection.sendall(_HELLO + own.to_bytes(4, "big"))
            return connection.recv(len(_HELLO)) == _HELLO
    except OSError:
        return False


@contextlib.contextmanager
def _received(listener: socket.socket) -> Iterator[set[int]]:
    """Collects the workers that have come so far, during a block."""
    visitors: set[int] = set()
    over = threading.Event()
    listener.settimeout(0.1)

    def receive():
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(1)
                    received = connection.recv(len(_HELLO) + 4)
                    if received.startswith(_HELLO):
                        connection.sendall(_HELLO)
                        visitors.add(int.from_bytes(received[len(_HELLO) :], "big"))

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    try:
        yield visitors
    finally:
        over.set()
        thread.join()


def port(address: str) -> int:
    """Returns the port of `host:port`."""
    return int(address.rpartition(":")[2])
