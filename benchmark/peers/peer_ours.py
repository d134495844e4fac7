"""The step of the package; what it starts from is what the peers are given."""

import numpy as np

BATCHES = {"cnn3": 128, "cnn3(batch_norm=True)": 128, "wrn(depth=16, width=2)": 32}
RATE = 0.01  # at 0.1 a step from untrained weights multiplies what float32 rounds


def make(architecture, exact):
    """Returns (case, step): weights and batch by name; a step, whose first is at `RATE`."""
    import keras

    from tf_metamixup.benchmark import timing, workload
    from tf_metamixup.config import Config
    from tf_metamixup.distribution.strategy import local_strategy
    from tf_metamixup.training.step import paired

    config = Config(architecture=architecture, batch_size=BATCHES[architecture], num_meta=1000)
    work = workload.make(config, local_strategy(1))
    # Only the first step counts; those that are timed leave the weights alone.
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([0], [RATE, timing.FROZEN])
    policy = "meta(estimator='nested')" if exact else "beta(per_sample=True)"
    graphs = work.graphs(policy, rates, 1)
    raw = next(graphs.batches(0))
    batch, network = graphs.to_batch(raw), graphs.recipe.network
    step = np.int64(0)
    _, partner, task = paired(graphs.recipe, batch, graphs.clock(step), graphs.draws(step))
    start = graphs.recipe.policy(task, graphs.draws(step)).start
    case = {
        "x": batch.x,
        "y": batch.y,
        "x_meta": batch.x if batch.x_meta is None else batch.x_meta,
        "y_meta": batch.y if batch.y_meta is None else batch.y_meta,
        "start": start,
        "partner": partner,
    }
    case = {name: np.asarray(value) for name, value in case.items()}
    case["weights"] = {v.path: np.asarray(v) for v in network.trainable}
    taken, batches = 0, timing.Repeated(raw)

    def take(rate):
        nonlocal taken
        _, _, rows = graphs.train(batches, taken, 1)
        taken += 1
        velocities = graphs.recipe.optimizer.momentums
        named = zip(network.trainable, velocities, strict=True)
        return rows[:, 2], {variable.path: velocity for variable, velocity in named}

    return case, take


numpy = np.asarray
