"""Calls Keras callbacks within `Trainer.fit`, at the ends of epochs and of training."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from tf_metamixup.core.errors import UserError

CALLED = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end")
# What needs the optimizer of a compiled model, or does what a run does anyway.
REFUSED = {
    "BackupAndRestore": "a run resumes from its run_dir by itself",
    "LearningRateScheduler": "give `learning_rate` a schedule",
    "ReduceLROnPlateau": "give `learning_rate` a schedule",
    "TensorBoard": "a run writes its events into run_dir by itself",
}


class Callbacks:
    """Represents the callbacks of one run; what they hold is in no checkpoint.

    They see `model`, and `val_error` and `val_loss` in the logs if the run is `validated`.

    Raises:
        UserError: one needs what is not there.
    """

    def __init__(self, callbacks: Sequence[Any], model: keras.Model, *, validated: bool):
        if isinstance(callbacks, keras.callbacks.Callback):
            callbacks = [callbacks]
        self._callbacks, self._model = list(callbacks), model
        self._epoch: int | None = None
        for callback in self._callbacks:
            _check(callback, validated=validated)
            callback.set_model(model)

    def train_begin(self) -> None:
        """Begins an invocation of the run."""
        if self._callbacks:
            self._model.stop_training = False
        self._call("on_train_begin")

    def train_end(self) -> None:
        """Ends it."""
        self._call("on_train_end")

    def epoch_begin(self, number: int) -> None:
        """Begins epoch `number`, from 0, unless it has begun."""
        if number != self._epoch:
            self._epoch = number
            self._call("on_epoch_begin", number)

    def epoch_end(self, entry: dict[str, Any]) -> None:
        """Ends the epoch of a history entry; the logs have no test error, to choose nothing by."""
        self._epoch = entry["epoch"] - 1  # a resumed run may only end it
        logs = {
            name: value
            for name, value in entry.items()
            if value is not None and name != "epoch" and not name.startswith("test_")
        }
        self._call("on_epoch_end", self._epoch, logs | {"loss": entry["train_loss"]})

    def reason_to_stop(self, workers) -> str | None:
        """Returns the reason to end the run where a callback of any worker set `stop_training`."""
        if not self._callbacks or not workers.exchange([self._model.stop_training]).any():
            return None
        return f"a callback stopped it after epoch {(self._epoch or 0) + 1}"

    def _call(self, name: str, *arguments) -> None:
        for callback in self._callbacks:
            getattr(callback, name)(*arguments)


def _check(callback: Any, *, validated: bool) -> None:
    name = type(callback).__name__
    if not isinstance(callback, keras.callbacks.Callback):
        raise UserError(f"callbacks: {callback!r} is not a keras.callbacks.Callback")
    if isinstance(callback, tuple(getattr(keras.callbacks, each) for each in REFUSED)):
        raise UserError(f"callbacks: {name} is not supported; {REFUSED.get(name, 'leave it out')}")
    # `ModelCheckpoint` looks at batches only where it saves between epochs.
    if getattr(callback, "save_freq", None) != "epoch" and (others := [*_other_hooks(callback)]):
        raise UserError(
            f"callbacks: {name} has {', '.join(others)}, but many steps run per call: only "
            f"{', '.join(CALLED)} are called"
        )
    if getattr(callback, "restore_best_weights", False):
        raise UserError(
            f"callbacks: {name}(restore_best_weights=True) would leave weights that differ from "
            "those of the result and the checkpoint; give fit() select='best' instead"
        )
    monitor = getattr(callback, "monitor", None) or ""
    if monitor.endswith("error") and getattr(callback, "mode", None) == "auto":
        callback.mode = "min"  # Keras knows the way of losses and accuracies only
    if not getattr(callback, "save_best_only", True):  # then `ModelCheckpoint` reads none
        monitor = ""
    if monitor.startswith("val_") and not validated:
        raise UserError(f"callbacks: {name} monitors {monitor}, but there is no `validation`")
    if monitor.endswith("accuracy") or monitor.startswith("test_"):
        raise UserError(
            f"callbacks: {name} monitors {monitor}, but the logs have only val_error, val_loss and "
            "loss"
        )


def _other_hooks(callback: keras.callbacks.Callback) -> Iterable[str]:
    base = keras.callbacks.Callback
    for name in dir(base):
        if name.startswith("on_") and name not in CALLED:
            own = name in vars(callback) or getattr(type(callback), name) is not getattr(base, name)
            if own:
                yield name
