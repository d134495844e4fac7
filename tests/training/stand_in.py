"""A stand-in for the device, whose "training" is one line of arithmetic, and runs on it."""

import time
import types

import keras
import numpy as np
import tensorflow as tf

from tests.outcome import counted, result_of
from tf_metamixup import policies
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.runs.checkpoints import Checkpoints
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
    network = types.SimpleNamespace(averaged=None)
    sample = None
    evaluator = types.SimpleNamespace(mixed=lambda sample: None)
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

    def measure(self, test, between=None, name="test"):
        self._reach("evaluate", self.calls[-1] if self.calls else None)
        weight = self.variables[0].numpy()[0]
        bins = np.zeros((15, 3))
        bins[7] = 3, weight, 2
        return Evaluation(np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]]), bins, 3.0, 3.0)

    def is_finite(self):
        return bool(np.isfinite(self.variables[0].numpy()).all())

    def image_range(self):
        self._reach("image_range", None)
        return -1.0, 1.0


def fit(run_dir, *, device=None, **plan):
    device = device or Device()
    return loop.fit(device, device, {"test": "test"}, run_dir, **(PLAN | plan))


def outcome(folder):
    """All that must not depend on how a run came to its end."""
    device = Device()
    checkpoints = Checkpoints(folder / "checkpoints", device.variables)
    checkpoints.restore()
    weights = device.variables[0].numpy().tobytes()
    return weights, counted(folder), result_of(folder)["history"]


def saved_steps(folder):
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


class Killed(BaseException):
    """Nothing of the process runs after it."""


def diverge(device, step, at):
    if step == at:
        device.variables[0].assign(np.full(4, np.inf))
