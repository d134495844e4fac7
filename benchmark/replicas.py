"""`python benchmark/replicas.py`: what steps cost on several replicas.

Times, in rounds and side by side, the plain MixUp step, the meta step, and the sum of all weights
over the replicas, of which a plain step has one (its gradients) and a meta step three.
docs/distributed.md has the model that the numbers go into. One line of JSON per call; with no GPU,
replicas are logical devices of one CPU, which share its cores. See `tf_metamixup.benchmark` for how
times and memory are measured.
"""

import json
import statistics
import time

from absl import flags

from tf_metamixup import cli
from tf_metamixup.benchmark import timing, workload
from tf_metamixup.config import Config

FLAGS = (*workload.FLAGS, "replicas")
POLICIES = {"plain": workload.PLAIN, "meta": "meta(estimator='vjp')"}
SUMS = 20  # in one timed call


def run(config: Config, rounds: int) -> dict:
    """Measures; returns what is printed."""
    import tensorflow as tf

    strategy = workload.devices(config.replicas)
    work = workload.make(config, strategy)
    config, model = work.config, work.model

    def subject(policy: str) -> timing.Subject:
        return timing.Subject(work.graphs(policy, timing.FROZEN, 1), 0, timing.Budget())

    subjects = {name: subject(policy) for name, policy in POLICIES.items()}
    weights = [tf.convert_to_tensor(v) for v in model.trainable_variables]
    sums = _timed_sums(strategy, weights)
    timed = [{**timing.one_round(subjects), "sum_of_weights": sums()} for _ in range(rounds)]
    middle = {
        name: round(1000 * statistics.median(seconds[name] for seconds in timed), 3)
        for name in timed[0]
    }
    return {
        "replicas": strategy.num_replicas_in_sync,
        "architecture": config.architecture,
        "batch_size": config.batch_size,
        "milliseconds": middle,
        "peak_mib": {name: each.peak_mib for name, each in subjects.items()},
        "weights_mib": round(4 * model.count_params() / 2**20, 3),
        "device": timing.describe(timing.device_name(strategy)),
    }


def _timed_sums(strategy, weights):
    """Returns a function () -> seconds that one sum of `weights` over the replicas takes."""
    import tensorflow as tf

    from tf_metamixup.distribution import replicas

    @tf.function
    def sums(given):
        for _ in tf.range(SUMS):
            given = strategy.run(replicas.mean, (given,))  # each waits for the one before
        return given

    def on_each():
        return strategy.run(lambda: [tf.identity(w) for w in weights])

    given = on_each()
    sums(given)

    def seconds() -> float:
        started = time.perf_counter()
        for value in strategy.experimental_local_results(sums(given)[0]):
            value.numpy()
        return (time.perf_counter() - started) / SUMS

    return seconds


def parse(argv: list[str]) -> tuple[Config, int]:
    """Parses a command line: the step, and how many rounds."""
    values = flags.FlagValues()
    cli.define_flags(values, FLAGS)
    flags.DEFINE_integer(
        "rounds", 5, "rounds of timing", lower_bound=3, flag_values=values, module_name="benchmark"
    )
    cli.read_flags(values, argv, __doc__)
    return cli.settle(cli.config_of(values)), values["rounds"].value


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    return cli.exit_code(lambda: parse(argv), lambda args: print(json.dumps(run(*args))))


if __name__ == "__main__":
    cli.execute(main)
