"""What bfloat16 in the meta stage changes and costs: `python benchmark/bfloat16.py [NETWORK ...]`.

Development only; data as TFDS_DATA_DIR has it. After 200 steps of MixUp: the cosine of lambda's
exact gradient with that in float32, median and smallest of ten batches and of all as one vector.
Then steps, over the plain step in float32: median of five rounds, smallest, largest, and the most
MiB that TensorFlow's allocator held in one.
"""

import os
import statistics
import sys

os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "true"  # which counts what it holds

import numpy as np

from tf_metamixup.benchmark import gradients, timing, workload
from tf_metamixup.config import Config
from tf_metamixup.config.defaults import META
from tf_metamixup.training.diagnostics import Diagnostics

NETWORKS = {
    "cnn3": ("fashion_mnist", 64),
    "cnn3(batch_norm=True)": ("fashion_mnist", 64),
    "wrn(depth=16, width=2)": ("cifar10", 32),
    "preact_resnet18": ("cifar10", 8),
}
LOW = {"meta_bfloat16": True}
STEPS = {
    "plain, bfloat16": ("beta", {"mixed_bfloat16": True}),
    "exact": (META, {}),
    "exact, meta stage in bfloat16": (META, LOW),
    "exact, all in bfloat16": (META, {"mixed_bfloat16": True, **LOW}),
    "cached": ("meta", {}),
    "cached, meta stage in bfloat16": ("meta", LOW),
}
BUDGET = timing.Budget(rounds=5, batches=10)


def cosines(work):
    """Yields, of each batch, the gradients in float32 and with the meta stage in bfloat16."""
    rate = 0.1 * work.config.batch_size / 128
    trained = work.graphs("beta", rate, BUDGET.steps)
    gradients.train(trained, BUDGET.steps)
    graphs = [work.graphs(META, rate, BUDGET.steps, **more) for more in ({}, LOW)]
    looks, batches = [Diagnostics(each) for each in graphs], graphs[0].batches(BUDGET.steps)
    for step in range(BUDGET.steps, BUDGET.steps + BUDGET.batches):
        batch = next(batches)
        yield tuple(look.lambda_gradient(batch, step) for look in looks)


def main():
    """Prints what was found of each network."""
    strategy = workload.devices(1)
    for name in sys.argv[1:] or NETWORKS:
        dataset, rows = NETWORKS[name]
        config = Config(dataset=dataset, architecture=name, batch_size=rows, num_meta=1000)
        work = workload.make(config, strategy)
        found = list(cosines(work))
        each = [gradients.cosine(*pair) for pair in found]
        whole = gradients.cosine(*(np.concatenate(part) for part in zip(*found, strict=True)))
        median = statistics.median(each)
        print(f"{name}: cosine {median:.4f}, smallest {min(each):.4f}, all {whole:.4f}")
        subjects = {
            step: timing.Subject(work.graphs(policy, timing.FROZEN, 1, **more), 0, BUDGET)
            for step, (policy, more) in {"plain": ("beta", {}), **STEPS}.items()
        }
        plain = subjects.pop("plain")
        measured = timing.costs(plain, subjects, BUDGET.rounds)
        seconds, mib = measured["plain"]["seconds"], measured["plain"]["peak_mib"]
        print(f"  plain: {1000 * seconds:.1f} ms, {mib:.0f} MiB")
        for step, cost in measured["estimators"].items():
            ratio = timing.with_range(cost["ratio"], cost["ratio_range"])
            print(f"  {step}: {ratio}, {cost['peak_mib']:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
