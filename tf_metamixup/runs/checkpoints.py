"""Checkpoints: whole or not there, checked before they are used, the last two kept.

Each is a folder `step-N` that is written under another name, flushed to disk and then renamed.
Beside TensorFlow's own files it holds `state.json` (what the host knows), `arrays.npz` (what it
has counted) and `SHA256SUMS`.
"""

import hashlib
import json
import os
import pathlib
import shutil
import warnings
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError, explained
from tf_metamixup.runs.atomic import replacing_folder
from tf_metamixup.runs.directory import read_arrays

KEEP = 2
SUMS = "SHA256SUMS"


class Progress(NamedTuple):
    """Holds what the host knows of a run: JSON values, and named arrays."""

    state: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """Writes and reads the checkpoints of one run.

    `variables` are everything that training changes on the device, in a stable order.
    """

    def __init__(self, folder: pathlib.Path, variables: list[keras.Variable]):
        self._folder = folder
        # Explicit lists: tracking a Keras model misses seeds, and layers held in Python lists.
        self._values = tf.train.Checkpoint(values=[variable.value for variable in variables])
        # Without names: those of a second model in one process are numbered on.
        self._shapes = [[list(v.shape), str(v.dtype)] for v in variables]

    def path(self, step: int) -> pathlib.Path:
        """Returns where the checkpoint of `step` lies."""
        return self._folder / f"step-{step:010d}"

    def save(self, step: int, progress: Progress) -> None:
        """Writes the checkpoint of `step` and removes all but the newest two.

        Raises:
            UserError: the disk is full or cannot be written; older checkpoints are intact.
        """
        final = self.path(step)
        what = f"cannot write a checkpoint into {self._folder}"
        advice = (
            ". Older checkpoints are intact: make room or repair the folder, and start the same "
            "command again"
        )
        with explained(what, OSError, tf.errors.OpError, advice=advice):
            with replacing_folder(final, self._folder / ".draft") as draft:
                self._values.write(str(draft / "variables"))
                state = {"step": step, "shapes": self._shapes, **progress.state}
                (draft / "state.json").write_text(json.dumps(state))
                np.savez_compressed(draft / "arrays.npz", **progress.arrays)
                sums = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
                (draft / SUMS).write_text("".join(f"{s}  {name}\n" for name, s in sums.items()))
                for path in (*draft.iterdir(), draft):
                    _flush(path)
            _flush(self._folder)
        # Newer ones were found damaged, else the run would have gone on from them.
        found = _newest_first(self._folder)
        for other in set(found) - set([folder for folder in found if folder <= final][:KEEP]):
            shutil.rmtree(other, ignore_errors=True)

    def restore(self) -> Progress | None:
        """Loads the newest undamaged checkpoint into the variables; None if there is none.

        Raises:
            UserError: it was made for other variables, or all checkpoints are damaged.
        """
        found = _newest_first(self._folder)
        for folder in found:
            damage = _damage(folder)
            if damage:
                warnings.warn(
                    f"checkpoint {folder} is damaged ({damage}); trying the previous one",
                    stacklevel=2,
                )
                continue
            state = json.loads((folder / "state.json").read_text())
            if state.pop("shapes") != self._shapes:
                raise UserError(
                    f"checkpoint {folder} does not have the variables of this model and optimizer; "
                    "choose another --run_dir"
                )
            self._values.read(str(folder / "variables")).assert_existing_objects_matched()
            return Progress(state, read_arrays(folder / "arrays.npz") or {})
        if found:
            raise UserError(
                f"every checkpoint in {self._folder} is damaged; remove the folder to start again"
            )
        return None


def read_model(folder: pathlib.Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Returns the model alone in the newest checkpoint of a folder.

    Returns:
        What `Trainer.checkpointed_model` recorded of it, without `values`; the values of its
        weights, as the run evaluates them.

    Raises:
        UserError: there is none, or the newest one is damaged or says nothing of a model.
    """
    newest = next(iter(_newest_first(folder)), None)
    if newest is None:
        raise UserError(
            f"there is no checkpoint in {folder}: the run has not written its first one yet, or "
            "they were removed"
        )
    if damage := _damage(newest):
        raise UserError(
            f"the checkpoint {newest} is damaged ({damage}); remove it to use the previous one"
        )
    model = json.loads((newest / "state.json").read_text()).get("model")
    if model is None:
        raise UserError(
            f"the checkpoint {newest} does not say which of its values are the model's: it is of "
            "an older version, which must train the run again"
        )
    reader = tf.train.load_checkpoint(str(newest / "variables"))
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    values = [reader.get_tensor(f"values/{place}{suffix}") for place in model.pop("values")]
    return model, values


def _newest_first(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _damage(folder: pathlib.Path) -> str | None:
    """Describes what is wrong with a checkpoint; None if it is whole."""
    try:
        lines = (folder / SUMS).read_text().splitlines()
        expected = {name: digest for digest, name in (line.split("  ") for line in lines)}
        present = {path.name for path in folder.iterdir()} - {SUMS}
        if differing := expected.keys() ^ present:
            return f"{', '.join(sorted(differing))} is missing in the folder or in {SUMS}"
        for name, digest in expected.items():
            if _sha256(folder / name) != digest:
                return f"{name} has changed"
    except OSError as error:
        return str(error)
    except ValueError:  # a line that is cut short, or no text
        return f"{SUMS} is no list of checksums"
    return None


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
