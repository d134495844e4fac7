"""Keras callbacks in `Trainer.fit`: called at epochs, refused where they need more."""

import keras
import pytest

from tests import tiny
from tests.training.test_selection import Validated, fit
from tf_metamixup.core.errors import UserError
from tf_metamixup.training.callbacks import Callbacks


class Recorded(keras.callbacks.Callback):
    """Notes what is called; stops after an epoch."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.calls, self.logs, self._stop_after = [], [], stop_after

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch}")
        self.logs.append(logs)
        self.model.stop_training = epoch == self._stop_after

    def on_train_end(self, logs=None):
        self.calls.append("end")


def test_a_callback_is_called_at_both_ends_of_training_and_of_epochs(tmp_path):
    callback = Recorded(stop_after=1)
    result = fit(tmp_path, callbacks=[callback], select="best")
    assert callback.calls == ["begin", "begin 0", "end 0", "begin 1", "end 1", "end"]
    assert (result["status"], result["steps"]) == ("finished", 20)
    assert result["stopped_early"] == "a callback stopped it after epoch 2"
    logs = callback.logs[0]
    assert {"loss", "lambda_mean", "val_loss", "val_error"} <= logs.keys()
    assert logs["val_error"] == 50.0 and not [name for name in logs if name.startswith("test_")]


def test_a_resumed_run_that_a_callback_stops_names_its_epoch(tmp_path):
    fit(tmp_path, callbacks=[Recorded(stop_after=1)], max_steps=20)
    result = fit(tmp_path, callbacks=[Recorded(stop_after=1)])
    assert result["stopped_early"] == "a callback stopped it after epoch 2"


@pytest.mark.parametrize("mode", ["min", "auto"])
def test_early_stopping_of_keras_ends_a_run(tmp_path, mode):
    callback = keras.callbacks.EarlyStopping(monitor="val_error", mode=mode, patience=2)
    assert fit(tmp_path, Validated(), callbacks=callback)["steps"] == 40


def test_a_run_that_a_callback_stops_between_evaluations_has_the_errors_of_its_classes(tmp_path):
    result = fit(tmp_path, callbacks=[Recorded(stop_after=0)], evaluate_every=2)
    assert result["test_error"] is not None and result["class_errors"] is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: print, "is not a keras.callbacks.Callback"),
        (lambda: keras.callbacks.TerminateOnNaN(), "TerminateOnNaN has on_batch_end, but many"),
        (
            lambda: keras.callbacks.LambdaCallback(on_train_batch_end=print),
            "LambdaCallback has on_train_batch_end, but many steps run per call",
        ),
        (lambda: keras.callbacks.ReduceLROnPlateau("loss"), "give `learning_rate` a schedule"),
        (lambda: keras.callbacks.BackupAndRestore("x"), "a run resumes from its run_dir by itself"),
        (lambda: keras.callbacks.EarlyStopping("val_loss"), "val_loss, but there is no `valida"),
        (lambda: keras.callbacks.EarlyStopping("accuracy", mode="max"), "the logs have only val_"),
        (lambda: keras.callbacks.EarlyStopping("loss", restore_best_weights=True), "select='best'"),
    ],
)
def test_a_callback_that_needs_what_is_not_there_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        Callbacks([make()], tiny.unnamed(), validated=False)


def test_checkpoints_and_logs_of_keras_are_taken(tmp_path):
    model = tiny.unnamed()
    saved = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))  # monitors nothing
    callbacks = Callbacks(
        [saved, keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))], model, validated=False
    )
    callbacks.train_begin()
    callbacks.epoch_begin(0)
    callbacks.epoch_end({"epoch": 1, "train_loss": 2.0, "test_error": 3.0})
    callbacks.train_end()
    assert (tmp_path / "1.keras").exists()
    assert (tmp_path / "log.csv").read_text().startswith("epoch,loss,train_loss")
