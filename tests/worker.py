"""One worker of a job in float64: `python -m tests.worker FILE METHOD POLICY ...`, see TF_CONFIG.

Takes five steps of each pair and writes the weights, losses and mixed rows into FILE.
"""

import sys

import keras
import numpy as np

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.data import scale
from tf_metamixup.distribution.strategy import make_strategy

STEPS = 5


def network() -> keras.Model:
    return tiny.network(norm="synchronized", dropout=0.2)


def trained(trainer: tmm.Trainer) -> list[np.ndarray]:
    """What five steps make."""
    graphs = trainer.graphs(
        **tiny.streams(views=max(trainer.method.views, 1)), epoch_steps=3, steps=6
    )
    _, losses, rows = graphs.train(graphs.batches(0), 0, STEPS)
    return [*tiny.weights(trainer), losses, rows.astype(np.float64)]


def options() -> dict:
    return {"learning_rate": 0.1, "weight_decay": 1e-2, "row_groups": 2, "preprocess": scale}


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    file, *names = sys.argv[1:]
    strategy = make_strategy()
    found = {}
    for number, (method, policy) in enumerate(zip(names[::2], names[1::2], strict=True)):
        with strategy.scope():
            model = network()
        for place, value in enumerate(trained(tmm.Trainer(model, method, policy, **options()))):
            found[f"{number}/{place}"] = value
    np.savez(file, **found)
