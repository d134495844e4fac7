"""All that a finished run leaves and that must not depend on how it came to its end."""

import json
import pathlib

import numpy as np
import tensorflow as tf


def outcome(run_dir: pathlib.Path):
    """(weights, lambdas, history), to the last bit."""
    result = json.loads((run_dir / "result.json").read_text())
    assert result["status"] == "finished"
    newest = run_dir / f"checkpoints/step-{result['steps']:010d}/variables"
    reader = tf.train.load_checkpoint(str(newest))
    weights = {
        name: np.asarray(reader.get_tensor(name)).tobytes()
        for name in sorted(reader.get_variable_to_shape_map())
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    with np.load(run_dir / "lambdas.npz") as arrays:
        lambdas = {name: array.tobytes() for name, array in arrays.items()}
    return weights, lambdas, result["history"]
