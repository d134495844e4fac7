"""`python -m tf_metamixup.benchmark`: what a meta step costs, relative to MixUp's, and finds.

A few hundred steps of training come first. Then, on one device:

- the steps are timed on one batch held in memory, in rounds: in each round the plain step and every
  meta step run in turn, in short slices, so that what else the machine does hits all of them; a
  ratio is taken within a round; the median over rounds is reported with the extremes;
- the peak memory of a step is what TensorFlow's allocator held at most during it, with the weights
  and optimizer slots of all the steps compared, which stay (a copy of the momentum each). Buffers
  that libraries take past the allocator, the graph and the program itself are not in it. On the CPU
  it is known only with TF_CPU_ALLOCATOR_USE_BFC=true, which this command sets; else it is null;
- the seconds of a trace are what the first call takes longer than the second; with those of the
  start (imports; then the data and the network) they are the time to the first step;
- each estimator's gradient for lambda is compared with that of `nested`, on the same batches, and
  with that of `nested` over the whole meta set at once. Where the batch is no smaller than the meta
  set, the two are the same. Training goes on meanwhile, so that cached features have every age;
- images/s of the training loop with its pipeline are compared with those of the step alone, and
  with those of Keras's own training with its MixUp (see `keras_fit`).

Timed steps have a learning rate below rounding, so the weights stay where training left them. The
gradients are those at the learning rate of training, which is by default 0.1 for a batch of 128 or
more and in proportion less for a smaller one (linear scaling, Goyal et al. 2017): at 0.1 and a
batch of 16 a PreActResNet, whose last unit no BatchNorm follows, diverges within 20 steps.
"""

import dataclasses
import sys
from typing import Any

from absl import flags

from tf_metamixup import cli
from tf_metamixup.benchmark import timing, workload
from tf_metamixup.benchmark.timing import Budget
from tf_metamixup.benchmark.workload import FLAGS, PLAIN, REFERENCE, Results
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError

FULL_RATE_BATCH = 128


def parse(argv: list[str]) -> tuple[Config, Budget, str | None]:
    """Parses a command line: the training, the measuring and where the JSON goes."""
    values = flags.FlagValues()
    cli.define_flags(values, FLAGS)
    common = {"flag_values": values, "module_name": "benchmark"}
    flags.DEFINE_string("json", None, "file that the results go to", **common)
    flags.DEFINE_integer("steps", Budget.steps, "training steps before", lower_bound=1, **common)
    flags.DEFINE_integer("rounds", Budget.rounds, "rounds of timing", lower_bound=3, **common)
    flags.DEFINE_float(
        "seconds", Budget.seconds, "seconds to time a step for in a round", lower_bound=0, **common
    )
    flags.DEFINE_integer(
        "batches", Budget.batches, "batches to compare gradients on", lower_bound=1, **common
    )
    cli.read_flags(values, argv, __doc__)
    budget = Budget(
        **{field.name: values[field.name].value for field in dataclasses.fields(Budget)}
    )
    config = cli.config_of(values)
    if config.batch_size is None:
        raise UserError(f"give --batch_size: --dataset={config.dataset} has no default of it here")
    if not values["learning_rate"].present:
        rate = config.learning_rate * min(1, config.batch_size / FULL_RATE_BATCH)
        config = dataclasses.replace(config, learning_rate=rate)
    return cli.settle(config), budget, values["json"].value


def run(config: Config, budget: Budget, imports: dict[str, float]) -> dict[str, Any]:
    """Trains and measures; returns the content of the JSON file.

    Args:
        config: the training.
        budget: how much is measured.
        imports: the lap of a `Stopwatch` that they took.
    """
    from tf_metamixup import models
    from tf_metamixup.benchmark import gradients, keras_fit
    from tf_metamixup.core.schedules import warm_up
    from tf_metamixup.experiment import default_warmup
    from tf_metamixup.runs.recorder import versions

    watch, strategy = timing.Stopwatch(), workload.devices(1)
    policies = workload.policies()
    work = workload.make(config, strategy)
    start = {"imports": imports, "data": watch.lap()}
    rate = warm_up(work.config.learning_rate, default_warmup(work.model))
    prepared = work.prepared
    trained = {name: work.graphs(policy, rate, budget.steps) for name, policy in policies.items()}
    gradients.train(trained[REFERENCE], budget.steps)
    cosines = gradients.gradient_cosines(trained, prepared.meta.whole(), budget)
    _report("timing the steps")
    plain, *metas = (
        timing.Subject(work.graphs(policy, timing.FROZEN, budget.steps), budget.steps, budget)
        for policy in (PLAIN, *policies.values())
    )
    measured = timing.costs(plain, dict(zip(policies, metas, strict=True)), budget.rounds)
    estimators = measured["estimators"]
    for name, cost in estimators.items():
        ratio = timing.with_range(cost["ratio"], cost["ratio_range"])
        _report(f"{name}: {ratio} times the plain step")
    _report("timing the pipeline")
    image_shape, classes = work.model.input_shape[1:], work.model.output_shape[-1]
    copy = models.make(work.config.architecture, image_shape, classes)
    fit = keras_fit.timed(copy, prepared.labelled, work.preprocess, classes, timing.FROZEN)
    return {
        "start": start,
        "plain": measured["plain"] | {"feed": plain.feed()},
        "estimators": {name: estimators[name] | cosines[name] for name in policies},
        "feed": metas[0].feed(),
        "keras_fit": timing.beside_keras(plain, fit),
        "settings": {
            **{name: getattr(work.config, name) for name in FLAGS if name != "data_dir"},
            **dataclasses.asdict(budget),
            "meta_batch_size": prepared.meta.batch_size,
            "image_shape": list(image_shape),
            "parameters": work.model.count_params(),
            "policies": {"plain": PLAIN, **policies},
            "device": timing.describe(timing.device_name(strategy)),
        },
        "versions": versions(),
    }


def table(result: dict[str, Any]) -> str:
    """Formats the results as a table."""
    columns = "{:<18} {:>11} {:>6} {:>14} {:>9} {:>8} {:>7} {:>11}".format
    titles = ("ms/step", "ratio", "range", "peak MiB", "trace s", "cosine", "full meta")
    lines = [columns("", *titles)]
    for name, cost in {"plain MixUp": result["plain"], **result["estimators"]}.items():
        peak = cost["peak_mib"]
        cells = [
            f"{1000 * cost['seconds']:.2f}",
            *("1", ""),
            "unknown" if peak is None else f"{peak:.1f}",
            f"{cost['trace_seconds']:.1f}",
            *("", ""),
        ]
        if "ratio" in cost:
            low, high = cost["ratio_range"]
            cells[1:3] = f"{cost['ratio']:.2f}", f"{low:.2f} to {high:.2f}"
            cells[5:] = f"{cost['cosine']:.3f}", f"{cost['cosine_full_meta']:.3f}"
        lines.append(columns(name, *cells))
    for name, lap in result["start"].items():
        lines.append(
            f"{name}: {lap['seconds']:.1f} s, of processors {lap['processor_seconds']:.1f}"
        )
    for name, fed in (("plain", result["plain"]["feed"]), (REFERENCE, result["feed"])):
        lines.append(
            f"images/s of the {name} step with its pipeline over those without: "
            f"{timing.with_range(fed['ratio'], fed['rounds'])}"
        )
    fit = result["keras_fit"]
    lines.append(
        "images/s of the plain step with its pipeline over those of Keras's fit with its MixUp: "
        f"{timing.with_range(fit['ratio'], fit['rounds'])}"
    )
    return "\n".join(lines)


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    watch = timing.Stopwatch()

    def write(args: tuple[Config, Budget, str | None]) -> None:
        config, budget, path = args
        file = Results(path) if path else None
        result = run(config, budget, watch.lap())
        print(table(result))
        if file:
            file.write(result)

    return cli.exit_code(lambda: parse(argv), write)


if __name__ == "__main__":
    cli.execute(main)
