"""The weights that a run starts from: those of its model, or those that another run ended with."""

import io
import os
import pathlib
import warnings
import weakref
from typing import Any

import keras
import numpy as np

from tf_metamixup import models
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError
from tf_metamixup.runs.checkpoints import read_model
from tf_metamixup.runs.directory import has_begun, read_json

# What training left in the first variable of a model, by model.
_left: weakref.WeakKeyDictionary[keras.Model, np.ndarray] = weakref.WeakKeyDictionary()


def check(trainer, run_dir: str | os.PathLike) -> None:
    """Refuses a run that would start from step 0 with what is left of another one.

    A run directory that holds a checkpoint or a result has weights of its own. A model that another
    `Trainer` left as it is is allowed, with a warning.
    """
    with trainer.workers.together():
        if not trainer.workers.chief or has_begun(run_dir):
            return
        if trainer.steps_taken:
            raise UserError(
                f"this Trainer has taken {trainer.steps_taken} steps, but run_dir={run_dir} holds "
                "no checkpoint to resume: for a new run, build a new Trainer with a newly built "
                "model, or with this model to start from its weights; to continue training, use "
                "the run_dir of the steps taken"
            )
        if not all(np.isfinite(np.asarray(v)).all() for v in trainer.model.weights):
            raise UserError(
                "the model's weights are not finite before the first step, as after a run that "
                "diverged: build the model again"
            )
        left = _left.get(trainer.model)
        if left is not None and np.array_equal(left, _first(trainer.model)):
            warnings.warn(
                "the model was trained by another Trainer, and this run starts from the weights "
                "that it left; to compare runs, build the model again for each",
                stacklevel=3,
            )


def remember(model: keras.Model) -> None:
    """Lets `check` recognize the weights that `model` has now as trained."""
    _left[model] = _first(model)


def load(trainer, config: Config) -> None:
    """Gives the model of a new run the weights of `config.initial_weights`.

    They are those that the other run evaluates: averaged ones where its method does, and
    BatchNorm's moving statistics. A run that has begun keeps its own, and the other one may be
    gone. Of several workers the chief reads them.

    Raises:
        UserError: there is no such run, no whole checkpoint in it, or another network.
    """
    values = io.BytesIO()
    with trainer.workers.together():
        if trainer.workers.chief and not has_begun(config.run_dir):
            np.savez(values, *_read(trainer, config))
    values = trainer.workers.from_chief(values.getvalue())
    if values:
        with np.load(io.BytesIO(values), allow_pickle=False) as arrays:
            trainer.model.set_weights(list(arrays.values()))


def _read(trainer, config: Config) -> list[np.ndarray]:
    """Returns the values of the model's weights in the newest checkpoint of the run."""
    model, class_names = trainer.model, trainer.class_names
    folder = pathlib.Path(config.initial_weights)
    flag = f"--initial_weights={config.initial_weights}"
    theirs = read_json(folder / "config.json") if folder.is_dir() else None
    if theirs is None:
        raise UserError(
            f"{flag} is not a run directory: there is no {folder / 'config.json'}; give the "
            "--run_dir of a run"
        )
    try:
        network, values = read_model(folder / "checkpoints")
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error
    their_names = network.pop("class_names", class_names)  # which an older version did not record
    their_architecture = theirs.get("settings", {}).get("architecture")
    there = _describe(their_architecture, network)
    here = _describe(config.architecture, describe(model))
    # Options may differ that change no weight, such as dropout.
    architectures = (config.architecture, their_architecture or config.architecture)
    same_family = len({models.parse(each).name for each in architectures}) == 1
    same_shapes = [value.shape for value in values] == [tuple(v.shape) for v in model.weights]
    if not same_family or not same_shapes or network != describe(model):
        raise UserError(
            f"{flag} holds the weights of {there}, but this run has {here}; use the same "
            "architecture, image shape and classes, or drop the flag"
        )
    pairs = zip(their_names, class_names, strict=True)
    if other := next((pair for pair in pairs if pair[0] != pair[1]), None):
        warnings.warn(
            f"{flag} was trained on other classes, {other[0]!r} where this run has {other[1]!r}: "
            "the last layer starts from the weights of the others",
            stacklevel=2,
        )
    return values


def describe(model: keras.Model) -> dict[str, Any]:
    """Describes a model for a checkpoint: the image shape and the number of classes."""
    return {"image_shape": list(model.input_shape[1:]), "classes": model.output_shape[-1]}


def _describe(architecture: str | None, network: dict[str, Any]) -> str:
    shape = "x".join(map(str, network["image_shape"]))
    return f"{architecture or 'a model'} for images {shape} and {network['classes']} classes"


def _first(model: keras.Model) -> np.ndarray:
    return np.asarray(model.trainable_variables[0]).copy()
