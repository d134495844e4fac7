import contextlib
import os
import signal
import threading
import time

import pytest

from tf_metamixup.core.signals import Interrupted, listen


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_raises_where_it_finds_the_program(signum):
    with pytest.raises(Interrupted) as raised, listen():
        os.kill(os.getpid(), signum)
        pytest.fail("the signal was not heard")
    assert raised.value.signum == signum
    assert str(raised.value) == signum.name


def test_a_signal_waits_for_the_end_of_a_deferred_block():
    reached = []
    with pytest.raises(Interrupted), listen() as stop:
        with stop.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the end of the block")
        reached.append("what follows it")
    assert reached == ["the end of the block"]


def test_an_error_in_a_deferred_block_goes_on_as_it_is():
    with pytest.raises(ZeroDivisionError), listen() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        1 / 0  # noqa: B018


def test_a_second_signal_acts_as_it_did_before():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda signum, _: heard.append(signum))
    try:
        with pytest.raises(Interrupted), listen() as stop, stop.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with listen():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_outside_the_main_thread_nothing_is_heard():
    before = signal.getsignal(signal.SIGTERM)
    during = []

    def work():
        with listen() as stop, stop.deferred():
            during.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [before]


def test_a_signal_in_a_destructor_raises_behind_it(capsys):
    class Signalled:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted), listen():
        Signalled()
        time.sleep(10)
        pytest.fail("the signal was lost")
    assert capsys.readouterr().err == ""


def test_a_signal_that_a_library_swallowed_is_heard_where_the_next_block_begins():
    with listen():
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught, listen():
            pytest.fail("the block begins")
    assert caught.value.signum == signal.SIGTERM
    with listen() as stop:  # a later one is not concerned
        assert stop.signum is None
