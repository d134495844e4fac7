"""A run of several workers, of which this process is one, with a stand-in for the device."""

import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.training.stand_in import Device, fit, outcome, saved_steps
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.signals import Interrupted
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.runs.recorder import Recorder


class Worker:
    """Stands in for `workers.Workers`: one of two, the other of which says `says(own numbers)`."""

    count, index = 2, 0

    def __init__(self, says=lambda numbers: numbers, sent=None):
        self._says = says
        self._sent = sent  # by the chief, who is the other one then

    @property
    def chief(self):
        return self._sent is None

    def exchange(self, numbers):
        table = [numbers, self._says(numbers)]
        return np.array(table if self.chief else table[::-1], np.int64)

    def from_chief(self, content):
        return content if self.chief else self._sent.pop(0)

    def check_same(self, **what):
        self.compared = what

    together, watched = Workers.together, Workers.watched


def test_a_signal_to_another_worker_stops_this_one_after_the_same_step(tmp_path, whole):
    calls = []

    def says(numbers):
        calls.append(numbers)
        return [1, signal.SIGTERM if len(calls) > 5 else 0] if len(numbers) == 2 else numbers

    device = Device()
    device.workers = Worker(says)
    with pytest.raises(Interrupted) as stopped:
        fit(tmp_path, device=device, splits={"meta": [1]})
    # Also of what two invocations may differ in, such as where this one ends.
    assert (
        device.workers.compared["settings"].items() >= {"method": "supervised", "steps": 25}.items()
    )
    assert "max_steps" in device.workers.compared["settings"]
    assert device.workers.compared["splits"] == {"meta": [1]}
    assert stopped.value.signum == signal.SIGTERM
    reached = sum(device.calls[-1])
    assert reached > 0
    resumed = Device()
    fit(tmp_path, device=resumed)
    assert resumed.calls[0][0] == reached
    assert outcome(tmp_path) == whole


def test_a_worker_that_is_not_the_chief_goes_on_from_its_checkpoint_and_writes_nothing(tmp_path):
    fit(tmp_path / "chief", max_steps=13)
    chief = Device()
    record = Recorder(chief.workers, chief.variables, tmp_path / "chief")
    device = Device()
    device.workers = Worker(
        lambda numbers: [1, 0] if len(numbers) == 2 else numbers, [record.serialize(13), b"null"]
    )
    result = fit(tmp_path / "other", device=device)
    assert device.calls == [(step, 1) for step in range(13, 25)]
    assert not (tmp_path / "other").exists()
    assert result["history"] == fit(tmp_path / "chief", device=chief)["history"]
    np.testing.assert_array_equal(device.variables[0], chief.variables[0])


@pytest.mark.parametrize(("place", "kept"), [("evaluate", [10, 20]), ("step", [10])])
def test_what_a_lost_worker_leaves_whole_is_saved(tmp_path, place, kept):
    def lose(at):
        if at == 17 if place == "step" else device.steps() == 20:
            raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    device = Device(**{place: lose})
    device.steps = lambda: sum(count for _, count in device.calls)
    device.workers = Worker()
    with pytest.raises(UserError, match="has lost another"):
        fit(tmp_path, device=device)
    assert saved_steps(tmp_path) == kept
