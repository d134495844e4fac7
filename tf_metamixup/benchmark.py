"""`python -m tf_metamixup.benchmark`: what a meta step costs beside MixUp's, and what it finds.

A few hundred steps of training come first. Then, on one device:

- the steps are timed on one batch held in memory, in rounds: in each round the plain step and every
  meta step run in turn, in short slices, so that what else the machine does hits all of them; a
  ratio is taken within a round, and the median over rounds is told with the smallest and largest;
- the peak memory of a step is what TensorFlow's allocator held at most during it, with the weights
  and optimizer slots of all the steps compared, which stay (a copy of the momentum each). Buffers
  that libraries take past the allocator, the graph and the program itself are not in it. On the CPU
  it is known only with TF_CPU_ALLOCATOR_USE_BFC=true, which this command sets; else it is null;
- the seconds of a trace are what the first call takes longer than the second;
- each estimator's gradient for lambda is compared with that of `nested`, on the same batches, and
  with that of `nested` over the whole meta set at once. Where the batch is no smaller than the meta
  set, the two are the same. Training goes on meanwhile, so that kept features have every age;
- images/s of the training loop with its pipeline are compared with those of the step alone, and
  with those of Keras's own training with its MixUp (see `keras_fit`).

Timed steps have a learning rate below rounding, so the weights stay where training left them. The
gradients are those at the learning rate of training, which is by default 0.1 for a batch of 128 or
more and in proportion less for a smaller one (linear scaling, Goyal et al. 2017): at 0.1 and a
batch of 16 a PreActResNet, whose last unit no BatchNorm follows, diverges within 20 steps.
"""

import dataclasses
import json
import logging
import math
import os
import pathlib
import statistics
import sys
import time
import warnings
from typing import Any

from absl import flags

from tf_metamixup import main as job
from tf_metamixup.config import Config
from tf_metamixup.errors import UserError
from tf_metamixup.paper import META
from tf_metamixup.whole_file import replacing

PLAIN = "beta"
REFERENCE = "nested"
# Estimator of lambda's gradient -> the policy that uses it.
ESTIMATORS = {
    REFERENCE: META,
    "vjp": "meta(estimator='vjp')",
    "top_block": "meta(estimator='top_block')",
    "top_block_cached": "meta(estimator='top_block_cached')",
    "meta_net": "meta_net(every=10)",
}

# Side and channels that an architecture usually sees.
USUAL_INPUT = {"cnn3": (28, 1), "resnet50": (100, 3)}
OTHERS_INPUT = (32, 3)

# Flags of `main` that count here too.
FLAGS = (
    *("dataset", "data_dir", "num_meta", "train_examples"),
    *("architecture", "batch_size", "learning_rate", "seed"),
)

SLICES = 5  # of a round, at most
FEED_ROUNDS = 5
# More than the pipeline keeps ready: after so many steps it gives batches as fast as it makes them.
DRAIN = 8
FROZEN = 1e-12
FULL_RATE_BATCH = 128
STEPS_A_CALL = 10


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        steps: of training before.
        rounds: of timing.
        seconds: that each step is timed in a round.
        batches: that gradients are compared on.
    """

    steps: int = 200
    rounds: int = 3
    seconds: float = 2.0
    batches: int = 25


def parse(argv: list[str]) -> tuple[Config, Plan, str | None]:
    """What a command line asks for: the training, the measuring and where the JSON goes.

    Raises:
        UserError: an unknown flag, or a value that is not allowed.
    """
    values = flags.FlagValues()
    job.define_flags(values, FLAGS)
    common = {"flag_values": values, "module_name": "benchmark"}
    flags.DEFINE_string("json", None, "file that the results go to", **common)
    flags.DEFINE_integer("steps", Plan.steps, "training before", lower_bound=1, **common)
    flags.DEFINE_integer("rounds", Plan.rounds, "rounds of timing", lower_bound=3, **common)
    flags.DEFINE_float("seconds", Plan.seconds, "of a step's round", lower_bound=0, **common)
    flags.DEFINE_integer(
        "batches", Plan.batches, "that gradients are compared on", lower_bound=1, **common
    )
    job.read_flags(values, argv, __doc__)
    plan = Plan(**{field.name: values[field.name].value for field in dataclasses.fields(Plan)})
    config = job.config_of(values)
    if not values["learning_rate"].present:
        rate = config.learning_rate * min(1, config.batch_size / FULL_RATE_BATCH)
        config = dataclasses.replace(config, learning_rate=rate)
    return config, plan, values["json"].value


class Results:
    """The JSON file, which is written whole or not at all.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: str):
        self._path = pathlib.Path(path).expanduser()
        probe = self._path.with_name(f".{self._path.name}.probe")
        try:
            if self._path.is_dir():
                raise IsADirectoryError(None, "it is a folder")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(f"cannot write --json={path}: {error.strerror}") from error

    def write(self, content: dict[str, Any]) -> None:
        """Replaces the file."""
        with replacing(self._path) as file:
            file.write(json.dumps(content, indent=1).encode())


class Subject:
    """A training step that is measured, on one batch and with its pipeline."""

    def __init__(self, trainer, streams: dict, step: int, plan: Plan):
        self._trainer, self._step, self._streams = trainer, step, streams
        self._bare = _Held(next(trainer.batches(streams, step)))
        policy = trainer.policy
        # What is done at some steps only comes back after so many.
        self._period = math.lcm(policy.every, policy.refresh if policy.keeps_features else 1)
        first, second = (self._seconds(self._bare, self._period) for _ in range(2))
        self.trace_seconds = self._period * (first - second)
        # Of a step that is slow and does something seldom, a slice is long: a round has fewer.
        periods = max(1, round(plan.seconds / second / self._period))
        self.slices = min(SLICES, periods)
        self.count = periods // self.slices * self._period
        self.peak_mib = self._peak_mib()

    def slice(self) -> float:
        """Seconds a step, of one slice of a round."""
        return self._seconds(self._bare, self.count)

    def feed_rounds(self) -> list[float]:
        """Of each round, images/s with the pipeline over those of the step alone."""
        fed_slice = self.fed()

        def one() -> float:
            bare = self._seconds(self._bare, self.slices * self.count)
            return bare / fed_slice(self.slices * self.count)

        return [one() for _ in range(FEED_ROUNDS)]

    def fed(self):
        """A function (steps) -> seconds a step with the pipeline."""
        # Only now: a pipeline that fills its buffers takes time and memory.
        fed = self._trainer.batches(self._streams, self._step)
        self._seconds(fed, 1)  # builds the graph

        def seconds(count: int) -> float:
            self._seconds(fed, DRAIN)
            return self._seconds(fed, count)

        return seconds

    def _seconds(self, batches, count: int) -> float:
        """Seconds a step, of `count` steps on what `batches` gives."""
        started = time.perf_counter()
        self._trainer.train(batches, self._step, count)
        return (time.perf_counter() - started) / count

    def _peak_mib(self) -> float | None:
        import tensorflow as tf

        memory, device = tf.config.experimental, device_name(self._trainer.strategy)
        try:
            memory.reset_memory_stats(device)
            self._seconds(self._bare, 1)
            return memory.get_memory_info(device)["peak"] / 2**20
        except ValueError:  # nobody counts
            return None


class _Held:
    """An iterator that gives the same batch for ever."""

    def __init__(self, batch):
        self._batch = batch

    def __next__(self):
        return self._batch


def run(config: Config, plan: Plan) -> dict[str, Any]:
    """Trains and measures; the content of the JSON file."""
    import keras

    import tf_metamixup as tmm
    from tf_metamixup import data, devices, keras_fit, loop
    from tf_metamixup.assembly import default_warmup
    from tf_metamixup.schedules import warm_up

    # Each subject has graphs of its own, which TensorFlow takes for retracing.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    strategy = devices.local_strategy(1)
    source, image_shape, preprocess = load(config)
    config = config.with_data_defaults(
        classes=len(source.classes), examples=len(source.train.labels), flip=source.flip
    )
    prepared = data.prepare(source, config)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = tmm.models.make(config.architecture, image_shape, len(source.classes))

    def trainer(policy: str, learning_rate):
        """(a trainer of the one model, its streams)."""
        made = tmm.Trainer(
            model, config.method, policy, learning_rate, seed=config.seed, preprocess=preprocess
        )
        streams = made.streams(labelled=prepared.labelled, meta=prepared.meta)
        made.prepare(streams, prepared.epoch_steps, plan.steps)
        return made, streams

    rate = warm_up(config.learning_rate, default_warmup(model))
    made = {name: trainer(policy, rate) for name, policy in ESTIMATORS.items()}
    train(*made[REFERENCE], plan.steps)
    found = gradient_cosines(made, prepared.meta.whole(), plan)
    _tell("timing the steps")
    plain, *metas = (
        Subject(*trainer(policy, FROZEN), plan.steps, plan)
        for policy in (PLAIN, *ESTIMATORS.values())
    )
    measured = costs(plain, dict(zip(ESTIMATORS, metas, strict=True)), plan.rounds)
    estimators = measured["estimators"]
    for name, cost in estimators.items():
        _tell(f"{name}: {_spread(cost['ratio'], cost['ratio_range'])} times the plain step")
    _tell("timing the pipeline")
    copy = tmm.models.make(config.architecture, image_shape, len(source.classes))
    fit = keras_fit.timed(copy, prepared.labelled, preprocess, len(source.classes), FROZEN)
    return {
        "plain": measured["plain"] | {"feed": feed(plain)},
        "estimators": {name: estimators[name] | found[name] for name in ESTIMATORS},
        "feed": feed(metas[0]),
        "keras_fit": beside_keras(plain, fit),
        "settings": {
            **{name: getattr(config, name) for name in FLAGS if name != "data_dir"},
            **dataclasses.asdict(plan),
            "meta_batch_size": prepared.meta.batch_size,
            "image_shape": list(image_shape),
            "parameters": model.count_params(),
            "policies": {"plain": PLAIN, **ESTIMATORS},
            "device": describe(device_name(strategy)),
        },
        "versions": loop.versions(),
    }


def load(config: Config):
    """The data set at the architecture's usual size: (source, image shape, preprocessing)."""
    import tensorflow as tf

    from tf_metamixup import data, models

    side, channels = USUAL_INPUT.get(models.parse(config.architecture).name, OTHERS_INPUT)
    source = data.load(config.dataset, config.data_dir, side)
    if source.image_shape[-1] >= channels:
        return source, source.image_shape, data.scale

    def coloured(images):
        return tf.image.grayscale_to_rgb(data.scale(images))

    return source, (*source.image_shape[:-1], channels), coloured


def train(trainer, streams: dict, steps: int) -> None:
    """Takes `steps` steps.

    Raises:
        UserError: the loss is not finite.
    """
    import numpy as np
    import tqdm

    batches = trainer.batches(streams, 0)
    with tqdm.tqdm(total=steps, desc="training", unit="step", dynamic_ncols=True) as bar:
        while bar.n < steps:
            count = min(STEPS_A_CALL, steps - bar.n)
            _, losses, _ = trainer.train(batches, bar.n, count)
            if not np.isfinite(losses).all():
                raise UserError(
                    f"the loss is not finite after {bar.n + count} steps of training; lower "
                    "--learning_rate"
                )
            bar.update(count)


def gradient_cosines(made: dict, meta, plan: Plan) -> dict[str, dict[str, float]]:
    """By estimator, the mean cosines of its gradient for lambda with that of `nested`.

    Args:
        made: by estimator, a trainer of the one model and its streams. That of `nested` has trained
            `plan.steps` steps, and takes one more after each batch that is compared.
        meta: the whole meta set, (images, labels).
        plan: how many steps were taken and how many batches follow.

    Returns:
        `cosine`, on the same batch, and `cosine_full_meta`, with `nested` over all of `meta`.
    """
    import tqdm

    reference, _ = made[REFERENCE]
    sums = {name: {"cosine": 0.0, "cosine_full_meta": 0.0} for name in made}
    batches = {
        name: trainer.batches(streams, plan.steps) for name, (trainer, streams) in made.items()
    }
    for step in tqdm.trange(
        plan.steps, plan.steps + plan.batches, desc="gradients", unit="batch", dynamic_ncols=True
    ):
        given = {name: next(each) for name, each in batches.items()}
        gradients = {
            name: trainer.lambda_gradient(given[name], step) for name, (trainer, _) in made.items()
        }
        exact = gradients[REFERENCE]
        full = reference.lambda_gradient(given[REFERENCE] | {"meta": meta}, step)
        for name, found in gradients.items():
            sums[name]["cosine"] += cosine(found, exact)
            sums[name]["cosine_full_meta"] += cosine(found, full)
        reference.train(_Held(given[REFERENCE]), step, 1)
    return {
        name: {kind: value / plan.batches for kind, value in kinds.items()}
        for name, kinds in sums.items()
    }


def cosine(first, second) -> float:
    """Of the angle between two vectors; 0 where one of them is zero."""
    import numpy as np

    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / norms) if norms else 0.0


def costs(plain: Subject, estimators: dict[str, Subject], rounds: int) -> dict[str, Any]:
    """Times the steps in rounds, each beside the plain one."""
    timed = [one_round({"plain": plain, **estimators}) for _ in range(rounds)]

    def cost(name: str, subject: Subject) -> dict[str, Any]:
        return {
            **_median("seconds", [seconds[name] for seconds in timed]),
            "peak_mib": subject.peak_mib,
            "trace_seconds": subject.trace_seconds,
        }

    return {
        "plain": cost("plain", plain),
        "estimators": {
            name: cost(name, subject)
            | _median("ratio", [seconds[name] / seconds["plain"] for seconds in timed])
            for name, subject in estimators.items()
        },
    }


def one_round(subjects: dict[str, Subject]) -> dict[str, float]:
    """Seconds a step, by subject."""
    seconds = {name: [] for name in subjects}
    for number in range(SLICES):
        for name, subject in subjects.items():
            if number < subject.slices:
                seconds[name].append(subject.slice())
    return {name: statistics.mean(slices) for name, slices in seconds.items()}


def _median(what: str, values: list[float]) -> dict[str, Any]:
    return {what: statistics.median(values), f"{what}_range": [min(values), max(values)]}


def feed(subject: Subject) -> dict[str, Any]:
    """How well the pipeline feeds a step."""
    rounds = subject.feed_rounds()
    return {"ratio": statistics.median(rounds), "rounds": rounds}


def beside_keras(plain: Subject, fit) -> dict[str, Any]:
    """Images/s of our plain loop over those of Keras's `fit`, both with their pipelines."""
    ours = plain.fed()
    fit(DRAIN)  # builds the graph
    steps = plain.slices * plain.count
    rounds = [fit(steps) / ours(steps) for _ in range(FEED_ROUNDS)]
    return {"ratio": statistics.median(rounds), "rounds": rounds}


def device_name(strategy) -> str:
    """The device that measuring is done on, such as "GPU:0"."""
    return strategy.extended.worker_devices[0].rsplit("device:", 1)[-1]


def describe(device: str) -> str:
    """A device and what is known of it."""
    import tensorflow as tf

    kind, number = device.split(":")
    if kind == "CPU":
        return f"{device}, {len(os.sched_getaffinity(0))} cores"
    details = tf.config.experimental.get_device_details(
        tf.config.list_physical_devices(kind)[int(number)]
    )
    return f"{device}, {details.get('device_name', 'of unknown make')}"


def table(result: dict[str, Any]) -> str:
    """The results for a person."""
    columns = "{:<18} {:>11} {:>6} {:>14} {:>9} {:>8} {:>7} {:>11}".format
    titles = ("ms a step", "ratio", "range", "peak MiB", "trace s", "cosine", "full meta")
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
    for name, fed in (("plain", result["plain"]["feed"]), (REFERENCE, result["feed"])):
        lines.append(
            f"images/s of the {name} step with its pipeline over those without: "
            f"{_spread(fed['ratio'], fed['rounds'])}"
        )
    fit = result["keras_fit"]
    lines.append(
        "images/s of the plain step with its pipeline over those of Keras's fit with its MixUp: "
        f"{_spread(fit['ratio'], fit['rounds'])}"
    )
    return "\n".join(lines)


def _spread(value: float, values: list[float]) -> str:
    return f"{value:.2f} ({min(values):.2f} to {max(values):.2f})"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""

    def tell(config: Config, plan: Plan, path: str | None) -> None:
        file = Results(path) if path else None
        result = run(config, plan)
        print(table(result))
        if file:
            file.write(result)

    return job.measure(lambda: parse(argv), tell)


if __name__ == "__main__":
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    sys.exit(main(sys.argv))
