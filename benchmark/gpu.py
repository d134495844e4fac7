"""`python benchmark/gpu.py`: whether a GPU's step is the CPU's, and its cost.

For each network, on the digits that the package ships:

- the step with lambda's exact gradient is taken once on the CPU and once on the GPU, from the same
  weights on the same batch: in float64 and, without TensorFloat-32, in float32. It reports three
  distances, each over the length of the CPU's vector: of the loss, of lambda's gradient and of the
  change of all weights. One above 1e-4 in float64, or a loss above 1e-2 in float32, makes the exit
  code 1. Gradients in float32 are only reported: those of a deep network differ more than that
  between two programs of one CPU (docs/design/gpu.md);
- the plain step and the meta steps, exact and cached, are timed in float32, with TensorFloat-32, in
  bfloat16 and compiled by XLA. See `tf_metamixup.benchmark` for how times and memory are measured.

Where TensorFlow sees no GPU, one line says so and the exit code is 0.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from tf_metamixup import cli
from tf_metamixup.benchmark import timing, workload
from tf_metamixup.config import Config
from tf_metamixup.config.defaults import META
from tf_metamixup.core.errors import UserError

SKIPPED = 'skipped: TensorFlow sees no GPU here (pip install ".[cuda]" brings its libraries)'
NETWORKS = ("cnn3", "wrn_28_2", "preact_resnet18")
# In float32 of the loss alone.
TOLERANCES = {"float64": 1e-4, "float32": 1e-2}
# No more than two thirds of the digits, and as many as the paper has.
META_IMAGES = 1000
POLICIES = {"plain": workload.PLAIN, "exact": META, "cached": "meta(estimator='cached')"}
# Options of the trainer, and whether TensorFloat-32 is on.
PRECISIONS = {
    "float32": ({}, False),
    "tensor_float_32": ({}, True),
    "bfloat16": ({"mixed_bfloat16": True}, False),
    "jit": ({"jit": True}, False),
}
FLAGS = ("num_meta", "batch_size", "learning_rate", "seed")


def run(
    configs: list[Config], budget: timing.Budget, write: Callable[[dict], None]
) -> dict[str, Any]:
    """Compares and measures each network, one config each; returns the content of the JSON file.

    `write` is given what is known after each network.
    """
    from tf_metamixup.runs.recorder import versions

    strategy = workload.devices(1)
    settings = {name: getattr(configs[0], name) for name in ("dataset", *FLAGS)}
    settings |= {"rounds": budget.rounds, "seconds": budget.seconds}
    device = timing.describe(timing.device_name(strategy))
    result = {"networks": {}, "tolerances": TOLERANCES, "device": device, "settings": settings}
    result["versions"] = versions()
    for config in configs:
        found = {"distance": distances(config, strategy), "steps": costs(config, strategy, budget)}
        result["networks"][config.architecture] = found
        print(table(config.architecture, found), flush=True)
        write(result)
    return result


def distances(config: Config, strategy) -> dict[str, dict[str, float]]:
    """Measures how far the exact step of `strategy` is from the CPU's, by type and result."""
    import numpy as np
    import tensorflow as tf

    found = {}
    for dtype in TOLERANCES:
        with computing_in(dtype):
            reference = workload.make(config, tf.distribute.MirroredStrategy(["CPU:0"]))
            other = workload.make(config, strategy)
            other.model.set_weights(reference.model.get_weights())
            expected, given = taken(reference), taken(other)
        found[dtype] = {
            name: float(np.linalg.norm(given[name] - value) / np.linalg.norm(value))
            for name, value in expected.items()
        }
    return found


def taken(work) -> dict[str, Any]:
    """Takes one exact step; returns loss, lambda's gradient and the change of all weights."""
    import numpy as np

    from tf_metamixup.training.diagnostics import Diagnostics

    def weights():
        return np.concatenate(
            [np.ravel(each).astype(np.float64) for each in work.model.get_weights()]
        )

    graphs = work.graphs(META, work.config.learning_rate, 1)
    batch, before = next(graphs.batches(0)), weights()
    gradient = Diagnostics(graphs).lambda_gradient(batch, 0)
    _, loss, _ = graphs.train(timing.Repeated(batch), 0, 1)
    return {"loss": loss, "lambda_gradient": gradient, "weights": weights() - before}


@contextlib.contextmanager
def computing_in(dtype: str) -> Iterator[None]:
    """Makes `dtype` Keras's type, with all its bits: by default a GPU's products keep 11 of 24."""
    import keras
    import tensorflow as tf

    settings = tf.config.experimental
    usual, tensor_float = keras.config.floatx(), settings.tensor_float_32_execution_enabled()

    def use(dtype: str, tensor_float: bool) -> None:
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        settings.enable_tensor_float_32_execution(tensor_float)

    use(dtype, tensor_float=False)
    try:
        yield
    finally:
        use(usual, tensor_float)


def costs(config: Config, strategy, budget: timing.Budget) -> dict[str, dict[str, Any]]:
    """Times all steps beside the plain one in float32; returns their costs by name."""
    work = workload.make(config, strategy)
    with computing_in("float32"):
        plain, *others = (
            Subject(tensor_float, work.graphs(policy, timing.FROZEN, 1, **options), 0, budget)
            for options, tensor_float in PRECISIONS.values()
            for policy in POLICIES.values()
        )
        _, *names = (f"{policy} {precision}" for precision in PRECISIONS for policy in POLICIES)
        measured = timing.costs(plain, dict(zip(names, others, strict=True)), budget.rounds)
    return {"plain float32": measured["plain"], **measured["estimators"]}


class Subject(timing.Subject):
    """Times a step with TensorFloat-32 on or off, which is a setting of the process."""

    def __init__(self, tensor_float: bool, *given):
        self._tensor_float = tensor_float
        super().__init__(*given)

    def _seconds(self, *given) -> float:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(self._tensor_float)
        return super()._seconds(*given)


def table(network: str, found: dict[str, Any]) -> str:
    """Formats what was found of one network."""
    lines = [f"{network}: distance of the GPU's step from the CPU's"]
    for dtype, far in found["distance"].items():
        shown = ", ".join(f"{name} {value:.1e}" for name, value in far.items())
        lines.append(f"  in {dtype}: {shown}")
    for name, cost in found["steps"].items():
        ratio = timing.with_range(cost["ratio"], cost["ratio_range"]) if "ratio" in cost else "1"
        peak = "unknown" if cost["peak_mib"] is None else f"{cost['peak_mib']:.1f}"
        lines.append(f"  {name:<22} {1000 * cost['seconds']:9.3f} ms {ratio:>22} {peak:>9} MiB")
    return "\n".join(lines)


def differing(result: dict[str, Any]) -> list[str]:
    """Lists what is further from the CPU than the tolerance allows, one phrase each."""
    return [
        f"{name} of {network} in {dtype} differs by {value:.1e}"
        for network, found in result["networks"].items()
        for dtype, far in found["distance"].items()
        for name, value in far.items()
        # Not "greater", so that NaN is reported.
        if (dtype == "float64" or name == "loss") and not value <= result["tolerances"][dtype]
    ]


def parse(argv: list[str]) -> tuple[list[Config], timing.Budget, str]:
    """Parses a command line: the steps, the measuring and where the JSON goes."""
    values = flags.FlagValues()
    cli.define_flags(values, FLAGS)
    values.set_default("num_meta", META_IMAGES)
    common = {"flag_values": values, "module_name": "benchmark"}
    flags.DEFINE_multi_string("network", NETWORKS, "architecture; may be repeated", **common)
    flags.DEFINE_string("json", "runs/gpu_check.json", "file that the results go to", **common)
    flags.DEFINE_integer("rounds", 5, "rounds of timing", lower_bound=3, **common)
    flags.DEFINE_float("seconds", 1.0, "of a step's round", lower_bound=0, **common)
    cli.read_flags(values, argv, __doc__)
    budget = timing.Budget(steps=1, rounds=values["rounds"].value, seconds=values["seconds"].value)
    config = cli.config_of(values)
    configs = [
        cli.settle(dataclasses.replace(config, architecture=name).resolve())
        for name in values["network"].value
    ]
    return configs, budget, values["json"].value


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""

    def write(args: tuple[list[Config], timing.Budget, str]) -> None:
        import tensorflow as tf

        configs, budget, path = args
        if not tf.config.list_physical_devices("GPU"):
            print(SKIPPED)
            return
        result = run(configs, budget, workload.Results(path).write)
        if found := differing(result):
            raise UserError(f"the GPU's step differs from the CPU's: {'; '.join(found)}")

    return cli.exit_code(lambda: parse(argv), write)


if __name__ == "__main__":
    cli.execute(main)
