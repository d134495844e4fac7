"""Refuses to resume what an older version began and this one would continue differently."""

import pathlib
from typing import Any

from tf_metamixup.core.errors import UserError

# The first version whose SGD keeps the learning rate outside of the velocity; see
# `training.optimizer`.
RATE_OUTSIDE = (0, 3)


def require_same_velocity(folder: pathlib.Path, config: dict[str, Any]) -> None:
    """Refuses checkpoints of SGD with momentum in the run directory `folder` from before 0.3.0.

    Their velocity contains the learning rate. `config` is the content of `config.json`.
    """
    settings = config.get("settings", {})
    # The first versions did not record theirs.
    version = config.get("versions", {}).get("tf_metamixup", "0.1.0")
    if tuple(map(int, version.split(".")[:2])) >= RATE_OUTSIDE:
        return
    if settings.get("optimizer") == "sgd" and settings.get("momentum"):
        raise UserError(
            f"the checkpoints in {folder} are of version {version}, whose SGD kept the learning "
            "rate inside of its velocity, so this version cannot continue them: finish the run "
            "with the version that began it, or start a new one with another --run_dir and "
            f"--initial_weights={folder}"
        )
