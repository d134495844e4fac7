"""How a step and its start grow: `python benchmark/growth.py [WHAT ...]`, a line of JSON each.

Development only. The exact step of `cnn3(width=8)` on random images of 28x28, a tiny network, so
that it ends soon. Of batch, classes and replicas: processor seconds from the arrays to the end of
the first step, without imports; of a step; the most that TensorFlow's allocator held in one; and
the most that the process held. Of training images: processor seconds from the arrays to the end of
the first batch, and of a batch. Medians of three processes. `exponent` is the slope in logarithms
from the smallest to the largest; processor seconds, since other work on a machine changes them
least.
"""

import json
import math
import multiprocessing
import resource
import statistics
import sys
import time

import numpy as np

SIZES = {
    "batch": (8, 32, 128, 512),
    "classes": (10, 100, 1000),
    "replicas": (1, 2, 4, 8),
    "images": (10**3, 10**4, 10**5, 10**6),
}
STEPS = 6
PROCESSES = 3


def images(count, classes, side=28):
    """Returns random images and labels."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, side, side, 1), np.uint8)
    return pixels, np.arange(count) % classes


def step(batch=128, classes=10, replicas=1):
    """Returns processor seconds and MiB of the start and of an exact step."""
    import tensorflow as tf

    import tf_metamixup as tmm
    from tf_metamixup.benchmark.timing import FROZEN, Repeated, device_name
    from tf_metamixup.data import ArrayStream
    from tf_metamixup.distribution.strategy import local_strategy

    before = time.process_time()
    strategy = local_strategy(replicas)  # before TensorFlow does anything
    pixels, labels = images(max(2 * batch, classes), classes)
    options = {"batch_size": batch, "seed": 0}
    data = {
        name: ArrayStream(pixels, labels, np.arange(len(pixels)), purpose=name, **options)
        for name in ("labelled", "meta")
    }
    with strategy.scope():
        model = tmm.models.make("cnn3(width=8)", (28, 28, 1), classes)
    policy, scale = "meta(estimator='nested')", tmm.data.scale
    trainer = tmm.Trainer(model, "supervised", policy, FROZEN, preprocess=scale)
    graphs = trainer.graphs(**data, epoch_steps=10, steps=10)
    batches = Repeated(next(graphs.batches(0)))
    graphs.train(batches, 0, 1)
    start = time.process_time() - before
    memory, device = tf.config.experimental, device_name(strategy)
    before = time.process_time()
    graphs.train(batches, 0, STEPS)
    each = (time.process_time() - before) / STEPS
    memory.reset_memory_stats(device)
    graphs.train(batches, 0, 1)
    mib = memory.get_memory_info(device)["peak"] / 2**20
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"start": start, "each": each, "mib": mib, "resident_mib": resident}


def stream(count):
    """Returns processor seconds to the first batch of 128 and of each further one, from memory."""
    from tf_metamixup.data import ArrayStream

    pixels, labels = images(count, 10, side=8)
    before = time.process_time()
    made = ArrayStream(
        *(pixels, labels, np.arange(count)),
        **{"batch_size": 128, "seed": 0, "purpose": "labelled", "flip": True, "shift": 1},
    )
    batches = iter(made.shards(0, range(1), 1))
    next(batches)
    first = time.process_time() - before
    for _ in range(200):
        next(batches)
    return {"start": first, "each": (time.process_time() - before - first) / 200}


def measured(what, size):
    """Returns the figures of one size, in a process of its own."""
    from tf_metamixup.distribution.startup import start_tensorflow

    start_tensorflow()
    return stream(size) if what == "images" else step(**{what: size})


def main(chosen):
    """Measures the sizes of what is chosen, or of all."""
    spawn = multiprocessing.get_context("spawn")
    for what in chosen or SIZES:
        sizes, found = SIZES[what], []
        for size in sizes:
            runs = []
            for _ in range(PROCESSES):
                with spawn.Pool(1) as pool:
                    runs.append(pool.apply(measured, (what, size)))
            found.append({name: statistics.median(run[name] for run in runs) for name in runs[0]})
        line = {"what": what, "sizes": sizes}
        for name in found[0]:
            values = [each[name] for each in found]
            slope = math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])
            line |= {name: [round(v, 4) for v in values], f"{name}_exponent": round(slope, 2)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
