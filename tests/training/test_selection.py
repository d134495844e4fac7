"""Which weights a run ends with, and when it ends early, with a stand-in for the device."""

import types

import keras
import numpy as np
import pytest

from tests import tiny
from tests.training.stand_in import Device, Killed, saved_steps
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.runs.checkpoints import Checkpoints, read_model
from tf_metamixup.runs.summary import summary
from tf_metamixup.training import loop

ERRORS = (50.0, 30.0, 40.0, 30.0, 60.0)  # of epochs 1 to 5: the second is the best


class Validated(Device):
    """Has the validation error of its epoch, and a test loss that shows its weights."""

    def __init__(self, **at):
        super().__init__(**at)
        self.network = types.SimpleNamespace(evaluated=self.variables, averaged=None)
        self.model = types.SimpleNamespace(stop_training=None)

    def batches(self, start_step):
        self.step = start_step
        return super().batches(start_step)

    def train(self, iterator, start_step, count):
        found = super().train(iterator, start_step, count)
        self.step = start_step + count
        return found

    def measure(self, test, between=None, name="test"):
        self._reach(test, self.step)
        confusion = np.zeros((3, 3), np.int64)
        wrong = int(ERRORS[-(-self.step // 10) - 1])
        confusion[0, :2] = 100 - wrong, wrong
        bins = np.zeros((15, 3))
        bins[7] = 100, 50, 100 - wrong
        return Evaluation(confusion, bins, self.variables[0].numpy()[0], 1.0)


def fit(folder, device=None, evaluated=("val", "test"), **plan):
    device = device or Validated()
    plan = {"steps": 50, "epoch_steps": 10} | plan
    return loop.fit(device, device, {part: part for part in evaluated}, folder, **plan)


def test_a_run_that_selects_is_evaluated_as_often_when_it_resumes(tmp_path):
    fit(tmp_path, select="best", max_steps=20)
    with pytest.raises(UserError, match="evaluate_every: None there, 3 here"):
        fit(tmp_path, select="best", evaluate_every=3)
    fit(tmp_path / "last", max_steps=20)
    assert fit(tmp_path / "last", evaluate_every=3)["status"] == "finished"


def outcome(folder, result):
    """All that must not depend on how a run came to its end."""
    kept = 2 if result["selected"]["weights"] == "best" else 1
    variables = [keras.Variable(np.ones(4), dtype="float64") for _ in range(kept)]
    Checkpoints(folder / "checkpoints", variables).restore()
    names = ("history", "selected", "test_loss", "val_error", "steps", "stopped_early")
    return [variable.numpy().tolist() for variable in variables], [result.get(n) for n in names]


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """The folder, device and result of a run that ends with its best weights."""
    folder, device = tmp_path_factory.mktemp("best"), Validated()
    return folder, device, fit(folder, device, select="best")


def test_the_best_weights_are_those_the_run_ends_with_and_is_tested_with(best, tmp_path):
    folder, device, result = best
    assert result["selected"] == {"weights": "best", "epoch": 2}
    # Of the first of two equals, not of the last epoch.
    kept = device.variables[0].numpy()[0]
    assert result["test_loss"] == result["history"][1]["test_loss"] == kept / 100
    with np.load(folder / "evaluation.npz") as arrays:
        assert arrays["loss_sum"] == kept
    text = summary(result, tmp_path)
    assert "(epoch 2, the best by validation error)" in text


def test_a_new_run_starts_from_the_best_weights(best):
    folder, device, _ = best
    _, (values,) = read_model(folder / "checkpoints")
    np.testing.assert_array_equal(values, device.variables[0])


def test_a_finished_run_gives_its_best_weights_again(best):
    folder, device, result = best
    again = Validated()
    assert fit(folder, again, select="best") == result
    np.testing.assert_array_equal(again.variables[0], device.variables[0])


@pytest.mark.parametrize("checkpoint_every", [1, 2])
@pytest.mark.parametrize(("place", "at"), [("val", 20), ("test", 20), ("step", 33), ("val", 50)])
def test_the_best_weights_survive_a_kill(best, tmp_path, place, at, checkpoint_every):
    def kill(step):
        if step == at:
            raise Killed

    plan = {"select": "best", "checkpoint_every": checkpoint_every}
    with pytest.raises(Killed):
        fit(tmp_path, Validated(**{place: kill}), **plan)
    assert outcome(tmp_path, fit(tmp_path, **plan)) == outcome(best[0], best[2])


def test_the_best_weights_survive_a_kill_before_the_result(best, tmp_path, monkeypatch):
    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("tf_metamixup.training.run_log.RunLog.write_result", kill)
        with pytest.raises(Killed):
            fit(tmp_path, select="best")
    assert outcome(tmp_path, fit(tmp_path, select="best")) == outcome(best[0], best[2])


@pytest.mark.parametrize("select", ["last", "best"])
def test_a_run_ends_after_so_many_evaluations_without_a_lower_error(tmp_path, select):
    device = Validated()
    result = fit(tmp_path, device, select=select, patience=2, checkpoint_every=3)
    assert (result["status"], result["steps"]) == ("finished", 40)
    assert result["stopped_early"] == "no lower validation error in 2 evaluations after epoch 2"
    assert result["selected"] == {"weights": select, "epoch": {"last": 4, "best": 2}[select]}
    assert saved_steps(tmp_path)[-1] == 40
    # A resumed run decides alike, also where it was killed before it wrote its result.
    (tmp_path / "result.json").unlink()
    resumed = Validated()
    found = fit(tmp_path, resumed, select=select, patience=2, checkpoint_every=3)
    assert resumed.calls == []
    assert outcome(tmp_path, found) == outcome(tmp_path, result)
    np.testing.assert_array_equal(resumed.variables[0], device.variables[0])


def test_a_stop_in_between_does_not_count_against_patience(tmp_path):
    whole = fit(tmp_path / "whole", patience=1, evaluate_every=2)
    for max_steps in (10, 30, None):
        found = fit(tmp_path / "run", patience=1, evaluate_every=2, max_steps=max_steps)
    assert outcome(tmp_path / "run", found) == outcome(tmp_path / "whole", whole)
    assert found["history"][0]["val_error"] is None


@pytest.mark.parametrize("plan", [{"select": "best"}, {"patience": 2}])
def test_without_validation_images_nothing_is_chosen(tmp_path, plan):
    with pytest.raises(UserError, match=r"no validation images: give --val_fraction=0.1, DIR/val"):
        fit(tmp_path, evaluated=["test"], **plan)


@pytest.mark.parametrize(
    "plan",
    [{"select": "worst"}, {"patience": 0}, {"log_every": 0}, {"evaluate_every": 0}, {"steps": 0}],
)
def test_values_out_of_range_are_refused(tmp_path, plan):
    with pytest.raises(UserError, match="must be"):
        fit(tmp_path, **plan)


def test_two_replicas_keep_what_one_device_keeps(tmp_path):
    kept = []
    for replicas in (1, 2):
        trainer = tiny.trainer("supervised", "none", replicas=replicas)
        data = tiny.streams()
        options = {"steps": 9, "epoch_steps": 3, "select": "best", "evaluate_every": 1}
        folder = tmp_path / str(replicas)
        sets = {"validation": tiny.test_set(), "test": tiny.test_set()}
        result = trainer.fit(labelled=data["labelled"], **sets, run_dir=folder, **options)
        epoch = result["selected"]["epoch"]
        assert result["test_loss"] == result["history"][epoch - 1]["test_loss"]
        assert trainer.evaluate(sets["test"])["error"] == result["val_error"]
        assert f"epoch {epoch}, which had the lowest" in trainer.card()
        kept.append((epoch, [np.asarray(v) for v in trainer.model.weights]))
    assert kept[0][0] == kept[1][0]
    for one, other in zip(kept[0][1], kept[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"steps": None}, "steps=None must be a whole number"),
        ({"epoch_steps": 2.5}, r"epoch_steps=2\.5 must be a whole number"),
        ({"patience": "a"}, "patience='a' must be a whole number"),
        ({"patience": 0}, "patience=0 must be at least 1"),
        ({"patince": 3}, r"no argument 'patince' \(did you mean 'patience'\?\)"),
        ({"callback": []}, r"no argument 'callback' \(did you mean 'callbacks'\?\)"),
        ({"run_directory": "x"}, r"no argument 'run_directory' \(did you mean 'run_dir'\?\)"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path, plan, told):
    with pytest.raises(UserError, match=told):
        fit(tmp_path, **plan)
