"""A finished run's data and network again, from its recorded settings and newest checkpoint."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_metamixup.assembly import Assembly, assemble
from tf_metamixup.checkpoints import Checkpoints
from tf_metamixup.config import Config
from tf_metamixup.errors import UserError


def rebuild(
    folder: str | os.PathLike, result: Mapping[str, Any], data_dir: str | None = None
) -> Assembly:
    """What a run was made of, with the weights that it ended with, on one device.

    Settings are values and names from registries; nothing in the folder is executed.

    Args:
        folder: the run directory.
        result: its `result.json`.
        data_dir: where its TFDS data lies now; by default where it lay then.

    Raises:
        UserError: settings that make no run, other data than it was trained on, no checkpoint.
    """
    config, folder = result["config"], pathlib.Path(folder)
    fields = {field.name for field in dataclasses.fields(Config)}
    # What an older version did not record, it did not have: the default is what it did.
    if unknown := config.keys() - fields:
        raise UserError(
            f"{folder} has settings that `python -m tf_metamixup.main` of this version does not "
            f"know ({', '.join(sorted(unknown))}), so its data and network cannot be rebuilt; of a "
            "model of your own they are in your own program"
        )
    own = Config(**{**config, "data_dir": data_dir or config.get("data_dir")})
    # One device computes what the replicas did, if it keeps their row groups.
    alone = dataclasses.replace(own, replicas=1).with_mode_defaults()
    assembly = assemble(alone, tf.distribute.get_strategy())
    splits = assembly.prepared.splits.named(assembly.source.train.ids)
    if splits != _json(folder / "splits.json"):
        raise UserError(
            f"the data set {own.dataset} in {own.data_dir} is not the one that {folder} was "
            "trained on: its parts differ from splits.json; say with --data_dir where that one lies"
        )
    assembly.trainer.streams(**assembly.training)  # what is kept of them is in the checkpoint too
    progress = Checkpoints(folder / "checkpoints", assembly.trainer.variables).restore()
    if progress is None or progress.state["step"] != result["steps"]:
        raise UserError(
            f"{folder}/checkpoints does not hold the end of the run, step {result['steps']}; "
            "train it again in a new --run_dir"
        )
    return assembly


def _json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}; train the run again") from error
