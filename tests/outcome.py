"""All that a finished run leaves and that must not depend on how it came to its end."""

import json
import pathlib

import numpy as np
import tensorflow as tf


def result_of(run_dir: pathlib.Path) -> dict:
    """The content of `result.json`."""
    return json.loads((run_dir / "result.json").read_text())


def counted(run_dir: pathlib.Path) -> dict[str, bytes]:
    """What was counted, by file and name."""
    found = {}
    for name in ("lambdas", "evaluation"):
        with np.load(run_dir / f"{name}.npz") as arrays:
            found |= {f"{name}/{key}": array.tobytes() for key, array in arrays.items()}
    return found


def outcome(run_dir: pathlib.Path):
    """(weights, what was counted, history), to the last bit."""
    result = result_of(run_dir)
    assert result["status"] == "finished"
    newest = run_dir / f"checkpoints/step-{result['steps']:010d}/variables"
    reader = tf.train.load_checkpoint(str(newest))
    weights = {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in sorted(reader.get_variable_to_shape_map())
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    return weights, counted(run_dir), result["history"]
