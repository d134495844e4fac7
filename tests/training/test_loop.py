"""The steps of a run, and what ends them, with a stand-in for the device."""

import json
import shutil

import numpy as np
import pytest

from tests import tiny
from tests.outcome import result_of
from tests.training.stand_in import Device, Killed, fit, outcome
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.signals import Interrupted
from tf_metamixup.runs.checkpoints import Checkpoints
from tf_metamixup.runs.recorder import Recorder
from tf_metamixup.training import run_log


def test_a_run_takes_all_its_steps_and_closes_its_epochs(tmp_path):
    device = Device()
    result = fit(tmp_path, device=device, labels_used=7)
    steps = device.calls
    assert sum(count for _, count in steps) == 25
    assert steps[:3] == [(0, 1), (1, 1), (2, 2)]  # then whole log intervals
    assert all(first + count <= 10 or first >= 10 for first, count in steps)
    assert [entry["epoch"] for entry in result["history"]] == [1, 2, 3]  # the last has 5 steps
    assert (result["status"], result["steps"], result["epochs"]) == ("finished", 25, 3)
    assert (result["labels_used"], result["parameters"]) == (7, 4)
    assert result["test_error"] == result["history"][-1]["test_error"] is not None
    assert result_of(tmp_path) == result


def test_a_result_holds_the_keys_of_the_interface(tmp_path):
    result = fit(tmp_path)
    assert result.keys() >= {
        *("status", "test_error", "test_loss", "epochs", "steps", "seconds", "images_per_second"),
        *("labels_used", "parameters", "method", "policy", "config", "history"),
    }
    assert result["history"][0].keys() >= {
        *("epoch", "train_loss", "test_error", "test_loss", "test_ece", "learning_rate"),
        *("lambda_mean", "lambda_std"),
        *("lambda_move_mean", "lambda_move_p99"),
    }


def test_calls_of_other_lengths_give_the_same_outcome(tmp_path, whole):
    fit(tmp_path)
    assert outcome(tmp_path) == whole


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = fit(tmp_path)
    device = Device()
    assert fit(tmp_path, device=device) == first
    assert not device.calls


@pytest.mark.filterwarnings("ignore:checkpoint .* is damaged")
@pytest.mark.parametrize("damage", [shutil.rmtree, lambda each: (each / "arrays.npz").unlink()])
def test_the_result_of_a_run_without_its_weights_is_warned_of(tmp_path, damage):
    fit(tmp_path)
    damage(max((tmp_path / "checkpoints").glob("step-*")))
    with pytest.warns(UserWarning, match="the result of step 25, but no checkpoint of it"):
        assert fit(tmp_path)["status"] == "finished"


def test_a_run_that_was_killed_before_its_result_only_writes_it(tmp_path, whole):
    fit(tmp_path)
    (tmp_path / "result.json").unlink()
    (tmp_path / "lambdas.npz").unlink()
    (tmp_path / "evaluation.npz").unlink()
    device = Device()
    assert fit(tmp_path, device=device)["status"] == "finished"
    assert not device.calls
    assert outcome(tmp_path) == whole


@pytest.mark.parametrize("max_steps", [1, 9, 10, 13, 24])
def test_max_steps_stops_with_the_open_epoch_last_and_can_go_on(tmp_path, whole, max_steps):
    result = fit(tmp_path, max_steps=max_steps)
    assert (result["status"], result["steps"]) == ("stopped", max_steps)
    assert len(result["history"]) == -(-max_steps // 10)
    assert result["history"][-1]["test_error"] is not None
    with np.load(tmp_path / "lambdas.npz") as arrays:
        assert arrays["after"].sum() == 4 * max_steps
    assert fit(tmp_path, max_steps=max_steps)["status"] == "stopped"
    assert fit(tmp_path, max_steps=max_steps + 1)["steps"] == max_steps + 1
    assert fit(tmp_path)["status"] == "finished"
    assert outcome(tmp_path) == whole


def test_max_steps_beyond_the_end_finishes(tmp_path):
    assert fit(tmp_path, max_steps=99)["status"] == "finished"


@pytest.mark.parametrize("step", [0, 4, 9, 10])
def test_a_signal_in_a_step_is_heard_after_it_and_the_run_goes_on_alike(
    tmp_path, whole, terminate, step
):
    device = Device(step=lambda at: terminate() if at == step else None)
    with pytest.raises(Interrupted):
        fit(tmp_path, device=device)
    first, count = device.calls[-1]
    assert first <= step < first + count
    resumed = Device()
    fit(tmp_path, device=resumed)
    assert resumed.calls[0][0] == first + count
    assert outcome(tmp_path) == whole


def test_an_interval_in_whose_last_step_a_signal_came_is_written(tmp_path, terminate, monkeypatch):
    written = []
    monkeypatch.setattr(Recorder, "interval", lambda self, step, *_: written.append(step))
    with pytest.raises(Interrupted):
        fit(tmp_path, device=Device(step=lambda at: terminate() if at == 3 else None))
    assert written == [4]


@pytest.mark.parametrize("place", ["trace", "evaluate"])
def test_a_signal_in_building_or_evaluating_is_heard_at_once(tmp_path, whole, terminate, place):
    def reach(_):
        terminate()
        reached.append(place)

    reached = []
    with pytest.raises(Interrupted):
        fit(tmp_path, device=Device(**{place: reach}))
    assert reached == []
    resumed = Device()
    fit(tmp_path, device=resumed)
    assert resumed.calls[0][0] == {"trace": 0, "evaluate": 10}[place]
    assert outcome(tmp_path) == whole


def test_a_signal_while_a_checkpoint_is_written_waits_for_it(
    tmp_path, whole, terminate, monkeypatch
):
    save = Checkpoints.save

    def interrupted(self, step, progress):
        terminate()
        save(self, step, progress)

    monkeypatch.setattr(Checkpoints, "save", interrupted)
    with pytest.raises(Interrupted):
        fit(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000010"]
    fit(tmp_path)
    assert outcome(tmp_path) == whole


def test_a_kill_in_a_long_epoch_loses_no_more_than_a_minute(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(run_log, "MAX_SECONDS_UNSAVED", 0.05)  # five steps of the stand-in

    def kill(step):
        if step == 19:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path, device=Device(step=kill), checkpoint_every=9)
    resumed = Device()
    fit(tmp_path, device=resumed, checkpoint_every=9)
    assert resumed.calls[0][0] in range(10, 19)
    assert outcome(tmp_path) == whole


def test_a_run_of_other_settings_is_refused_before_anything_is_written(tmp_path):
    fit(tmp_path, settings={"seed": 0}, recorded={"method": "a", "policy": "b"}, splits={"a": [1]})
    with pytest.raises(UserError, match="seed: 0 there, 1 here"):
        fit(tmp_path, settings={"seed": 1}, splits={"a": [2]})
    assert json.loads((tmp_path / "splits.json").read_text()) == {"a": [1]}


def test_a_run_on_batches_made_with_other_settings_is_refused(tmp_path):
    fit(tmp_path, data_settings={"batch_size": 20}, max_steps=5)
    with pytest.raises(UserError, match="batch_size: 20 there, 40 here"):
        fit(tmp_path, data_settings={"batch_size": 40})
    assert fit(tmp_path, data_settings={"batch_size": 20})["status"] == "finished"


def test_the_graph_is_traced_once_before_the_first_step_and_that_changes_nothing():
    trainer = tiny.trainer("supervised", "none")
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    before = tiny.weights(trainer)
    batches = graphs.batches(0)
    graphs.trace(batches)
    for one, other in zip(before, tiny.weights(trainer), strict=True):
        np.testing.assert_array_equal(one, other)
    for first, count in ((0, 1), (1, 3)):
        graphs.train(batches, first, count)
    assert any((a != b).any() for a, b in zip(before, tiny.weights(trainer), strict=True))
    assert graphs._train.experimental_get_tracing_count() == 1
