import socket
import threading

import pytest

from tests.distribution.test_workers import free_ports
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import rendezvous


def test_workers_wait_for_each_other_and_tell_for_whom(capsys):
    ports = free_ports(2)
    addresses = [f"127.0.0.1:{port}" for port in ports]
    late = threading.Timer(0.5, rendezvous.await_workers, (addresses, 1))
    late.start()
    rendezvous.await_workers(addresses, 0)
    late.join()
    assert capsys.readouterr().err == f"waiting for the workers {addresses[1]}\n"


def test_a_worker_that_does_not_come_is_reported():
    addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
    with pytest.raises(UserError, match=f"the workers {addresses[0]}, {addresses[2]} of TF_CONFIG"):
        rendezvous.await_workers(addresses, 1, timeout=0.1)


def test_an_address_that_is_taken_is_reported():
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=f"cannot listen on {address}"):
            rendezvous.await_workers([address, "127.0.0.1:1"], 0)
