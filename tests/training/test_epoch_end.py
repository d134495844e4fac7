"""What is done at the ends of epochs, with a stand-in for the device."""

import numpy as np
import pytest
import tensorflow as tf

from tests.outcome import result_of
from tests.training.stand_in import PLAN, Device, Killed, fit, outcome, saved_steps
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.runs.checkpoints import Checkpoints
from tf_metamixup.runs.recorder import Recorder
from tf_metamixup.training import loop
from tf_metamixup.training.plan import Plan


def last_evaluation(folder):
    with np.load(folder / "evaluation.npz") as arrays:
        return Evaluation(**arrays)


def test_the_last_evaluation_is_kept(tmp_path):
    stopped = fit(tmp_path, max_steps=13)
    assert last_evaluation(tmp_path).scores == {
        name: stopped[f"test_{name}"] for name in ("error", "error_macro", "loss", "ece")
    }
    finished = fit(tmp_path)
    assert last_evaluation(tmp_path).ece == finished["test_ece"] != stopped["test_ece"]


def test_evaluations_and_checkpoints_come_every_so_many_epochs_and_last(tmp_path):
    result = fit(tmp_path, evaluate_every=2, checkpoint_every=3)
    errors = [entry["test_error"] for entry in result["history"]]
    assert [error is None for error in errors] == [True, False, False]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000025"]


@pytest.mark.parametrize(("number", "step"), [(1, 10), (2, 20), (3, 25)])
def test_a_run_killed_in_an_evaluation_makes_it_again_and_ends_alike(tmp_path, whole, number, step):
    evaluated = []

    def kill(_):
        evaluated.append(saved_steps(tmp_path)[-1])
        if len(evaluated) == number:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path, device=Device(evaluate=kill))
    assert evaluated[-1] == step
    taken = []
    resumed = Device(evaluate=lambda _: taken.append(len(resumed.calls)))
    fit(tmp_path, device=resumed)
    assert taken[0] == 0  # before any further step
    assert all(first >= step for first, _ in resumed.calls)
    assert outcome(tmp_path) == whole


def test_a_run_killed_after_an_evaluation_makes_it_again_and_ends_alike(tmp_path, whole):
    def kill(step):
        if step == 13:
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path, device=Device(step=kill))
    resumed = Device()
    fit(tmp_path, device=resumed)
    assert resumed.calls[0][0] == 10
    assert outcome(tmp_path) == whole


@pytest.mark.parametrize("checkpoint_every", [1, 3])
def test_an_evaluation_that_fails_loses_nothing(tmp_path, whole, checkpoint_every):
    def fail(call):
        if sum(call) == 20:
            raise ValueError("a broken test set")

    with pytest.raises(ValueError, match="a broken test set"):
        fit(tmp_path, device=Device(evaluate=fail), checkpoint_every=checkpoint_every)
    assert saved_steps(tmp_path)[-1] == 20
    resumed = Device()
    fit(tmp_path, device=resumed)
    assert resumed.calls[0][0] == 20
    assert outcome(tmp_path) == whole


def test_a_disk_that_is_full_before_an_evaluation_stops_the_run_before_it(tmp_path, monkeypatch):
    def full(self, step, progress):
        raise UserError("cannot write a checkpoint")

    reached = []
    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(UserError, match="cannot write a checkpoint"):
        fit(tmp_path, device=Device(evaluate=reached.append))
    assert reached == []


@pytest.mark.parametrize("checkpoint_every", [1, 3])
def test_an_evaluation_for_a_stop_is_not_in_the_history_of_the_run_that_goes_on(
    tmp_path, checkpoint_every
):
    plan = {"evaluate_every": 3, "checkpoint_every": checkpoint_every}
    fit(tmp_path / "whole", **plan)
    stopped = fit(tmp_path / "run", max_steps=10, **plan)
    assert stopped["history"][0]["test_error"] is not None
    fit(tmp_path / "run", **plan)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_run_without_a_test_set_is_saved_and_resumed_alike(tmp_path):
    for folder, stops in (("whole", []), ("run", [10, 20])):
        for max_steps in [*stops, None]:
            device = Device()
            settings = PLAN | {"max_steps": max_steps}
            loop.fit(device, device, {}, tmp_path / folder, **settings)
    histories = [result_of(tmp_path / folder)["history"] for folder in ("whole", "run")]
    assert histories[0] == histories[1]
    assert all(entry["test_error"] is None for entry in histories[0])


def test_validation_and_test_images_are_both_evaluated_and_named(tmp_path):
    for parts in (["val", "test"], ["val"]):
        folder, device = tmp_path / "-".join(parts), Device()
        result = loop.fit(device, device, dict.fromkeys(parts, "batches"), folder, **PLAN)
        errors = {part: result[f"{part}_error"] for part in ("val", "test")}
        assert [part for part, error in errors.items() if error is not None] == parts
        assert all("val_error" in entry for entry in result["history"])
        assert (folder / "evaluation.npz").exists()


def pictured(folder, monkeypatch, **plan):
    """The epochs after which pictures are drawn."""
    steps = []
    draw = lambda _, step, pairs, evaluation, sample: steps.append(step)  # noqa: E731
    monkeypatch.setattr(Recorder, "pictures", draw)
    plan = {"epoch_steps": 2, "evaluate_every": 1, "log_every": 100, "pictures": 10} | plan
    fit(folder, **plan)
    return [step // 2 for step in steps]


def test_pictures_are_drawn_about_ten_times_a_run(tmp_path, monkeypatch):
    assert pictured(tmp_path / "short", monkeypatch, steps=8) == [1, 2, 3, 4]
    long = pictured(tmp_path / "long", monkeypatch, steps=100)
    assert len(long) == 10 and set(np.diff(long)) == {5} and long[-1] == 50


@pytest.mark.parametrize(("given", "drawn"), [({}, [50]), ({"pictures": 0}, [])])
def test_a_short_run_draws_at_its_end_or_not_at_all(tmp_path, monkeypatch, given, drawn):
    assert pictured(tmp_path, monkeypatch, steps=100, **{"pictures": None} | given) == drawn
    assert [Plan(steps, 10).drawings for steps in (999, 5_000, 10**6)] == [0, 5, 10]


def test_pictures_are_drawn_of_evaluated_epochs_only(tmp_path, monkeypatch):
    drawn = pictured(tmp_path, monkeypatch, steps=100, evaluate_every=7)
    assert drawn == [7, 14, 21, 28, 35, 42, 49, 50]


def test_lost_tensorboard_files_do_not_stop_a_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "{{node x}} No space left on device\n")

    for name in ("scalar", "image", "text"):
        monkeypatch.setattr(tf.summary, name, full)
    with pytest.warns(UserWarning, match="^TensorBoard events were not written: No space left on"):
        assert fit(tmp_path)["status"] == "finished"


def test_a_stop_at_an_epochs_end_is_evaluated_however_rarely_epochs_are(tmp_path):
    result = fit(tmp_path, max_steps=10, evaluate_every=3)
    assert result["status"] == "stopped"
    assert result["test_error"] is not None
