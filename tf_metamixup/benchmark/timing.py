"""Times steps in rounds, side by side, so that what else the machine does hits all of them."""

import dataclasses
import os
import statistics
import time
from typing import Any

SLICES = 5  # of a round, at most
FEED_ROUNDS = 5
# More than the pipeline keeps ready: after so many steps it gives batches as fast as it makes them.
DRAIN = 8
# A learning rate below rounding, so that timed steps leave the weights where they are.
FROZEN = 1e-12


@dataclasses.dataclass(frozen=True)
class Budget:
    """Says how much is measured."""

    steps: int = 200  # of training before
    rounds: int = 3  # of timing
    seconds: float = 2.0  # that each step is timed in a round
    batches: int = 25  # that gradients are compared on


class Stopwatch:
    """Splits time into laps; reports CPU seconds too, which vary less."""

    def __init__(self):
        self._last = self._now()

    def lap(self) -> dict[str, float]:
        """Returns the seconds since the lap before, or since this was made."""
        last, self._last = self._last, self._now()
        names = "seconds", "processor_seconds"
        return {n: now - then for n, now, then in zip(names, self._last, last, strict=True)}

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


class Subject:
    """Times a training step, on one batch and with its pipeline."""

    def __init__(self, graphs, step: int, budget: Budget):
        self._graphs, self._step = graphs, step
        self._bare = Repeated(next(graphs.batches(step)))
        policy = graphs.recipe.policy
        # What is done at some steps only comes back after so many.
        self._period = policy.refresh if policy.caches_features else 1
        watch = Stopwatch()
        first, second = ((self._seconds(self._bare, self._period), watch.lap()) for _ in range(2))
        self.trace = {f"trace_{name}": first[1][name] - second[1][name] for name in first[1]}
        second = second[0]
        # Of a step that is slow and does something rarely, a slice is long: a round has fewer.
        periods = max(1, round(budget.seconds / second / self._period))
        self.slices = min(SLICES, periods)
        self.count = periods // self.slices * self._period
        self.peak_mib = self._peak_mib()

    def slice(self) -> float:
        """Returns seconds per step, of one slice of a round."""
        return self._seconds(self._bare, self.count)

    def feed(self) -> dict[str, Any]:
        """Measures how well the pipeline feeds the step: images/s with it over those without."""
        fed, count = self.fed(), self.slices * self.count
        return _rounds(lambda: self._seconds(self._bare, count) / fed(count))

    def fed(self):
        """Returns a function (steps) -> seconds per step with the pipeline."""
        # Only now: a pipeline that fills its buffers takes time and memory.
        fed = self._graphs.batches(self._step)
        self._seconds(fed, 1)  # builds the graph

        def seconds(count: int) -> float:
            self._seconds(fed, DRAIN)
            return self._seconds(fed, count)

        return seconds

    def _seconds(self, batches, count: int) -> float:
        """Returns seconds per step, of `count` steps on what `batches` gives."""
        started = time.perf_counter()
        self._graphs.train(batches, self._step, count)
        return (time.perf_counter() - started) / count

    def _peak_mib(self) -> float | None:
        import tensorflow as tf

        memory, device = tf.config.experimental, device_name(self._graphs.strategy)
        try:
            memory.reset_memory_stats(device)
            self._seconds(self._bare, 1)
            return memory.get_memory_info(device)["peak"] / 2**20
        except ValueError:  # the allocator has no statistics
            return None


class Repeated:
    """Iterates over the same batch forever."""

    def __init__(self, batch):
        self._batch = batch

    def __next__(self):
        return self._batch


def costs(plain: Subject, estimators: dict[str, Subject], rounds: int) -> dict[str, Any]:
    """Times the steps in rounds, together with the plain one."""
    timed = [one_round({"plain": plain, **estimators}) for _ in range(rounds)]

    def cost(name: str, subject: Subject) -> dict[str, Any]:
        return {
            **_median_and_range("seconds", [seconds[name] for seconds in timed]),
            "peak_mib": subject.peak_mib,
            **subject.trace,
        }

    return {
        "plain": cost("plain", plain),
        "estimators": {
            name: cost(name, subject)
            | _median_and_range("ratio", [seconds[name] / seconds["plain"] for seconds in timed])
            for name, subject in estimators.items()
        },
    }


def one_round(subjects: dict[str, Subject]) -> dict[str, float]:
    """Returns seconds per step, by subject."""
    seconds = {name: [] for name in subjects}
    for number in range(SLICES):
        for name, subject in subjects.items():
            if number < subject.slices:
                seconds[name].append(subject.slice())
    return {name: statistics.mean(slices) for name, slices in seconds.items()}


def _median_and_range(what: str, values: list[float]) -> dict[str, Any]:
    return {what: statistics.median(values), f"{what}_range": [min(values), max(values)]}


def beside_keras(plain: Subject, fit) -> dict[str, Any]:
    """Compares images/s of our plain loop and of Keras's `fit`, both with their pipelines."""
    ours = plain.fed()
    fit(DRAIN)  # builds the graph
    steps = plain.slices * plain.count
    return _rounds(lambda: fit(steps) / ours(steps))


def _rounds(ratio) -> dict[str, Any]:
    rounds = [ratio() for _ in range(FEED_ROUNDS)]
    return {"ratio": statistics.median(rounds), "rounds": rounds}


def device_name(strategy) -> str:
    """Returns the device that measuring is done on, such as "GPU:0"."""
    return strategy.extended.worker_devices[0].rsplit("device:", 1)[-1]


def describe(device: str) -> str:
    """Describes a device."""
    import tensorflow as tf

    kind, number = device.split(":")
    if kind == "CPU":
        return f"{device}, {len(os.sched_getaffinity(0))} cores"
    details = tf.config.experimental.get_device_details(
        tf.config.list_physical_devices(kind)[int(number)]
    )
    return f"{device}, {details.get('device_name', 'of unknown make')}"


def with_range(value: float, values: list[float]) -> str:
    """Formats a value with the smallest and the largest of `values`."""
    return f"{value:.2f} ({min(values):.2f} to {max(values):.2f})"
