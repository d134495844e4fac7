"""What the tests of a run on a stand-in for the device share."""

import os
import signal

import pytest

from tests.training.stand_in import fit, outcome


@pytest.fixture
def terminate():
    """A signal to this process, once."""
    sent = []

    def send(*_):
        if not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    return send


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The outcome of an uninterrupted run, one step a call."""
    folder = tmp_path_factory.mktemp("whole")
    fit(folder, log_every=1)
    return outcome(folder)
