"""`python benchmark/streaming.py`: images read from files beside images in memory.

Writes JPEGs of smooth noise, and then reads batches of them as training does (shuffled, resized,
mirrored, shifted), once with all images in memory and once from their files, each in a process of
its own. One line of JSON for each: seconds until the data set is loaded, images/s of two passes
without a network, and the resident memory in MiB when it is loaded, after each half pass, and at
its peak.
"""

import concurrent.futures
import json
import multiprocessing
import pathlib
import resource
import tempfile
import time
from typing import NamedTuple

from absl import flags

from tf_metamixup import cli
from tf_metamixup.distribution.startup import start_tensorflow

BATCH = 64
LABELS = ("one", "two")


class Sizes(NamedTuple):
    """Holds what is measured."""

    images: int
    side: int  # of the files, in pixels
    image_size: int  # that they are resized to


def write(folder: pathlib.Path, sizes: Sizes) -> None:
    """Writes images of these sizes as a folder of two classes."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for label in LABELS:
        (folder / "train" / label).mkdir(parents=True)
    for number in range(sizes.images):
        noise = generator.integers(0, 256, (16, 16, 3), np.uint8)
        image = Image.fromarray(noise).resize((sizes.side, sizes.side), Image.Resampling.BICUBIC)
        image.save(folder / "train" / LABELS[number % 2] / f"{number}.jpg")


def time_reading(folder: str, sizes: Sizes, in_memory: str) -> dict:
    """Reads the images of a folder; returns what is printed."""
    start_tensorflow()
    import numpy as np

    from tf_metamixup import data
    from tf_metamixup.core.autotuning import untuned
    from tf_metamixup.data import pipeline

    started = time.perf_counter()
    source = data.folder(folder, image_size=sizes.image_size, in_memory=in_memory)
    loaded = time.perf_counter() - started
    stream = pipeline.stream(
        source.train,
        np.arange(sizes.images),
        batch_size=BATCH,
        seed=0,
        purpose="labelled",
        flip=True,
        shift=2,
    )
    memory = [_resident()]
    batches = iter(untuned(stream.shards(0, range(1), 1)))
    next(batches)
    half = max(1, sizes.images // (2 * BATCH))
    started = time.perf_counter()
    for _ in range(4):
        for _ in range(half):
            next(batches)
        memory.append(_resident())
    seconds = time.perf_counter() - started
    return {
        "in_memory": in_memory,
        **sizes._asdict(),
        "seconds_to_load": round(loaded, 1),
        "images_per_second": round(4 * half * BATCH / seconds),
        "mib": memory,
        # The kernel's own peak lags behind by some pages.
        "peak_mib": max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10, *memory),
    }


def _resident() -> int:
    """Returns the memory of this process in MiB, as Linux counts it."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def run(sizes: Sizes) -> None:
    """Prints a line for each way of reading."""
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), sizes)
        for in_memory in ("yes", "no"):
            spawned = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, spawned) as pool:
                print(
                    json.dumps(pool.submit(time_reading, folder, sizes, in_memory).result()),
                    flush=True,
                )


def parse(argv: list[str]) -> Sizes:
    """Parses a command line."""
    values = flags.FlagValues()
    common = {"flag_values": values, "module_name": "benchmark"}
    flags.DEFINE_integer("images", 2000, "how many", lower_bound=2 * BATCH, **common)
    flags.DEFINE_integer("side", 256, "of the files, in pixels", lower_bound=16, **common)
    flags.DEFINE_integer("image_size", 64, "that they are resized to", lower_bound=8, **common)
    cli.read_flags(values, argv, __doc__)
    return Sizes(*(values[name].value for name in Sizes._fields))


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""
    return cli.exit_code(lambda: parse(argv), run)


if __name__ == "__main__":
    cli.execute(main)
