"""The host side with a stand-in for the device, whose "training" is one line of arithmetic."""

import json
import os
import signal
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_metamixup import policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.core.signals import Interrupted
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.runs.checkpoints import Checkpoints
from tf_metamixup.runs.recorder import Recorder
from tf_metamixup.runs.tensorboard import Summaries
from tf_metamixup.training import loop
from tf_metamixup.training.stages import Stages
from tf_metamixup.training.step import Recipe

PLAN = {"steps": 25, "epoch_steps": 10, "log_every": 4}


class Device:
    """What `loop` needs of a Trainer.

    `at[place]` is called with the step whenever the loop comes to `place`.
    """

    classes = 3
    class_names = ("a", "b", "c")
    parameters = 4
    checkpointed_model = {}  # noqa: RUF012
    model = None
    mixed = types.SimpleNamespace(predicted=lambda: None)
    strategy = tf.distribute.get_strategy()
    policy = policies.make("none")
    hyper_parameters = {"method": "supervised", "policy": "meta"}  # noqa: RUF012

    def __init__(self, **at):
        self.workers = Workers(tf.distribute.get_strategy())
        self.variables = [keras.Variable(np.ones(4), dtype="float64")]
        self.calls = []
        self._at = at

    def _reach(self, place, step):
        self._at.get(place, lambda _: None)(step)

    def batches(self, start_step):
        return np.random.default_rng(0)

    stages = Stages(Recipe(*[None] * 6), None, None, 25)

    def trace(self, iterator, step):
        self._reach("trace", None)

    def learning_rate(self, step):
        return 0.1

    def steps_until_audit(self, step):
        return np.inf

    def train(self, iterator, start_step, count):
        self.calls.append((start_step, count))
        losses, rows = [], []
        for step in range(start_step, start_step + count):
            self._reach("step", step)
            generator = np.random.default_rng(step)
            drawn = generator.uniform(size=4)
            self.variables[0].assign(0.9 * self.variables[0].numpy() + drawn)
            losses.append([self.variables[0].numpy().mean(), 1.0])
            rows.append(np.column_stack([drawn, drawn, drawn, [0, 1, 2, 0], [1, 1, 1, 1], [1] * 4]))
        self._reach("trained", start_step + count)
        time.sleep(0.01 * count)
        losses = np.array(losses)
        return {"train_loss": losses}, losses[:, 0], np.concatenate(rows).astype(np.float32)

    def measure(self, test, between=None):
        self._reach("evaluate", self.calls[-1] if self.calls else None)
        weight = self.variables[0].numpy()[0]
        bins = np.zeros((15, 3))
        bins[7] = 3, weight, 2
        return Evaluation(np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]]), bins, 3.0, 3.0)

    def is_finite(self):
        return bool(np.isfinite(self.variables[0].numpy()).all())

    def image_range(self):
        return -1.0, 1.0


def fit(run_dir, *, device=None, **plan):
    device = device or Device()
    return loop.fit(device, device, {"test": "test"}, run_dir, **(PLAN | plan))


def outcome(folder):
    """All that must not depend on how a run came to its end."""
    device = Device()
    checkpoints = Checkpoints(folder / "checkpoints", device.variables)
    checkpoints.restore()
    counted = {}
    for name in ("lambdas", "evaluation"):
        with np.load(folder / f"{name}.npz") as arrays:
            counted |= {f"{name}/{key}": array.tobytes() for key, array in arrays.items()}
    history = json.loads((folder / "result.json").read_text())["history"]
    return device.variables[0].numpy().tobytes(), counted, history


@pytest.fixture
def terminate():
    """A signal to this process, once."""
    sent = []

    def send(*_):
        if not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    return send


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of an uninterrupted run, one step a call."""
    folder = tmp_path_factory.mktemp("whole")
    fit(folder, log_every=1)
    return outcome(folder)


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
    assert json.loads((tmp_path / "result.json").read_text()) == result


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


def test_calls_of_other_lengths_give_the_same_outcome(tmp_path, whole):
    fit(tmp_path)
    assert outcome(tmp_path) == whole


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = fit(tmp_path)
    device = Device()
    assert fit(tmp_path, device=device) == first
    assert not device.calls


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


def diverge(device, step, at):
    if step == at:
        device.variables[0].assign(np.full(4, np.inf))


def test_a_loss_that_is_not_finite_is_reported_and_the_checkpoint_before_is_kept(tmp_path):
    device = Device(step=lambda step: diverge(device, step, 14))
    with pytest.raises(UserError, match="the loss is inf at step 15; the checkpoint of step 10 is"):
        fit(tmp_path, device=device)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000010"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], len(result["history"])) == ("failed", 1)
    assert "the loss is inf at step 15" in result["error"]
    # A run that is started again finds its checkpoint, and fails alike.
    device = Device(step=lambda step: diverge(device, step, 14))
    with pytest.raises(UserError, match="the loss is inf at step 15"):
        fit(tmp_path, device=device)


def test_a_loss_that_is_not_finite_in_the_first_epoch_leaves_no_checkpoint(tmp_path):
    device = Device(step=lambda step: diverge(device, step, 3))
    with pytest.raises(UserError, match="the loss is inf at step 4; there is no checkpoint yet"):
        fit(tmp_path, device=device)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["status"], result["test_error"], result["history"]) == ("failed", None, [])


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss of a step is that of the weights before it."""
    device = Device(trained=lambda step: diverge(device, step, 20))
    with pytest.raises(UserError, match="the weights are not finite after step 20; the checkpoint"):
        fit(tmp_path, device=device)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000010"]


def test_weights_that_are_not_finite_when_a_signal_comes_are_not_saved_either(tmp_path, terminate):
    def trained(step):
        diverge(device, step, 8)
        if step == 8:
            terminate()

    device = Device(trained=trained)
    with pytest.raises(UserError, match="the weights are not finite after step 8"):
        fit(tmp_path, device=device)


def test_weights_that_are_not_finite_are_reported_as_often_as_losses_are_read(tmp_path):
    """Long before an epoch ends, and though the losses are finite."""
    device = Device()
    train = device.train

    def harmed(*args):
        outcome = train(*args)
        device.variables[0].assign([1, 1, np.nan, 1])
        return outcome

    device.train = harmed
    with pytest.raises(UserError, match="the weights are not finite after step 1; there is no"):
        fit(tmp_path, device=device)


class Guessing(Device):
    """Its loss is `share` of that of a guess."""

    share = 1.0

    def train(self, iterator, start_step, count):
        _, losses, rows = super().train(iterator, start_step, count)
        losses = np.full(count, self.share * np.log(self.classes))
        return {"train_loss": np.column_stack([losses, losses * 0 + 1])}, losses, rows


@pytest.mark.parametrize(
    "plan",
    [
        {"steps": 110, "epoch_steps": 55},
        {"steps": 60, "epoch_steps": 20},
        {"steps": 500, "epoch_steps": 500, "max_steps": 60},
    ],
    ids=["at an epoch's end", "of short epochs together", "where max_steps stops"],
)
def test_a_loss_that_stays_at_that_of_a_guess_is_warned_of_once(tmp_path, plan):
    with pytest.warns(
        UserWarning, match=r"ln\(3\) = 1.099.*learning rate.*warmup_steps"
    ) as reported:
        fit(tmp_path, device=Guessing(), log_every=50, **plan)
    assert len([each for each in reported if "does not learn" in str(each.message)]) == 1


def test_a_loss_below_that_of_a_guess_is_not_warned_of(tmp_path, recwarn):
    device = Guessing()
    device.share = 0.9
    fit(tmp_path, device=device, steps=60, epoch_steps=60, log_every=50)
    assert not [each for each in recwarn if "does not learn" in str(each.message)]


def test_a_run_of_other_settings_is_refused_before_anything_is_written(tmp_path):
    fit(tmp_path, settings={"seed": 0}, recorded={"method": "a", "policy": "b"}, splits={"a": [1]})
    with pytest.raises(UserError, match="seed: 0 there, 1 here"):
        fit(tmp_path, settings={"seed": 1}, splits={"a": [2]})
    assert json.loads((tmp_path / "splits.json").read_text()) == {"a": [1]}


def test_evaluations_and_checkpoints_come_every_so_many_epochs_and_last(tmp_path):
    result = fit(tmp_path, evaluate_every=2, checkpoint_every=3)
    errors = [entry["test_error"] for entry in result["history"]]
    assert [error is None for error in errors] == [True, False, False]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0000000025"]


def saved_steps(folder):
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


class Killed(BaseException):
    """Nothing of the process runs after it."""


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


def test_a_test_loss_that_is_not_finite_names_the_checkpoint_that_is_kept(tmp_path, monkeypatch):
    measure = Device.measure

    def measured(self, test, between=None):
        found = measure(self, test, between)
        return found._replace(bins=np.full((15, 3), np.nan), loss_sum=np.nan)

    monkeypatch.setattr(Device, "measure", measured)
    with pytest.raises(UserError, match=r"the test loss is nan after step 10; the checkpoint of s"):
        fit(tmp_path)
    assert saved_steps(tmp_path) == [10]


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
    histories = [
        json.loads((tmp_path / folder / "result.json").read_text())["history"]
        for folder in ("whole", "run")
    ]
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
    monkeypatch.setattr(Summaries, "pictures", draw)
    fit(folder, **{"epoch_steps": 2, "evaluate_every": 1, "log_every": 100} | plan)
    return [step // 2 for step in steps]


def test_pictures_are_drawn_about_twenty_times_a_run(tmp_path, monkeypatch):
    assert pictured(tmp_path / "short", monkeypatch, steps=8) == [1, 2, 3, 4]
    long = pictured(tmp_path / "long", monkeypatch, steps=100)
    assert len(long) == 20 and set(np.diff(long)) == {2, 3} and long[-1] == 50


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


def test_a_stop_at_an_epochs_end_is_evaluated_however_seldom_epochs_are(tmp_path):
    result = fit(tmp_path, max_steps=10, evaluate_every=3)
    assert result["status"] == "stopped"
    assert result["test_error"] is not None


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
    found = sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").glob("step-*"))
    assert found == kept
