"""How far rounding moves one exact step of wrn(16, 2): `python benchmark/conditioning.py`.

Development only. Batch 32, learning rate 0.01, the network's first weights, float32. Prints the
distance of lambda's gradient and of the real step's gradient from those of the first line, over
their length: of the same program again, of weights that are moved by one unit of rounding, and of
Keras's own BatchNorm in place of the fused one.
"""

import keras
import numpy as np

from tf_metamixup.benchmark import workload
from tf_metamixup.benchmark.timing import FROZEN, Repeated
from tf_metamixup.config import Config
from tf_metamixup.config.defaults import META
from tf_metamixup.models.batch_normalization import BatchNormalization
from tf_metamixup.training.diagnostics import Diagnostics

UNIT = 2.0**-23
FUSED = BatchNormalization._is_fused
WAYS = {"fused": FUSED, "Keras's": lambda self, inputs: False}


def gradients(strategy, layer, moved, weights=None):
    """Returns lambda's gradient, that of all weights, and the weights that they were taken at."""
    BatchNormalization._is_fused = WAYS[layer]
    config = Config(architecture="wrn(depth=16, width=2)", batch_size=32, num_meta=1000)
    work = workload.make(config, strategy)
    weights = work.model.get_weights() if weights is None else weights
    signs = np.random.default_rng(0)
    work.model.set_weights(
        [w * (1 + moved * UNIT * signs.choice([-1, 1], w.shape)).astype(w.dtype) for w in weights]
    )
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.01, FROZEN])
    graphs = work.graphs(META, rate, 1)
    batch = next(graphs.batches(0))
    lam = np.asarray(Diagnostics(graphs).lambda_gradient(batch, 0), np.float64)
    graphs.train(Repeated(batch), 0, 1)
    velocity = [np.ravel(v).astype(np.float64) for v in graphs.recipe.optimizer.momentums]
    return lam, np.concatenate(velocity), weights


def main():
    """Prints a line for each way."""
    strategy = workload.devices(1)
    *first, weights = gradients(strategy, "fused", 0)
    ways = [("fused", 0), ("fused", 1), ("Keras's", 0), ("Keras's", 1)]
    for layer, moved in ways:
        *other, _ = gradients(strategy, layer, moved, weights)
        lam, real = (
            np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(first, other, strict=True)
        )
        where = "moved by one unit" if moved else "the same"
        print(f"{layer} BatchNorm, weights {where}: lambda {lam:.1e}, weights {real:.1e}")


if __name__ == "__main__":
    main()
