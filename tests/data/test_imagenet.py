"""ImageNet's path from files to a step, on generated JPEGs in its feature layout."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tf_metamixup import data, experiment, main
from tf_metamixup.config import DataInfo
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import prepare
from tf_metamixup.data.streamed import Kept

CLASSES = 1000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(write_imagenet):
    """Three tiny images a class, of a colour of its own, and their data directory."""
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (CLASSES, 3))
    sizes = generator.integers(24, 40, (3 * CLASSES, 2))
    images = (
        (np.broadcast_to(colours[i % CLASSES].astype(np.uint8), (*sizes[i], 3)), i % CLASSES)
        for i in range(3 * CLASSES)
    )
    return write_imagenet(list(images))


def config(folder, run_dir, *more):
    return experiment.canonical(
        main.parse(
            [
                *("main", "--flagfile=flags/data/imagenet2012.flags", f"--data_dir={folder}"),
                *(
                    "--architecture=cnn3(width=2, average_pool=True)",
                    "--batch_size=4",
                    "--max_steps=2",
                ),
                *(f"--run_dir={run_dir}", "--noexport", *more),
            ]
        )
    )


def test_two_steps_of_metamixup_are_trained_through_main(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = main.train(config(folder, tmp_path / "run"))
    assert (result["status"], result["steps"]) == ("stopped", 2)
    assert np.isfinite(result["history"][-1]["train_loss"])
    assert 0 <= result["test_error_top5"] <= result["test_error"] <= 100
    assert result["config"]["image_size"] == 100
    assert result["config"]["num_meta"] == CLASSES


def test_an_audit_of_images_that_do_not_fit_into_memory_is_refused(folder, tmp_path):
    settings = dataclasses.replace(config(folder, tmp_path), method="glc").resolve(
        data=DataInfo(classes=CLASSES, examples=3 * CLASSES, flip=True)
    )
    with pytest.raises(UserError, match="--method=glc cannot be used with imagenet2012"):
        prepare(data.load("imagenet2012", folder, 100), settings, 0, audits="all")


def test_the_meta_set_is_kept_in_memory_and_the_training_set_is_not(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys.modules[prepare.__module__], "KEPT", CLASSES)
    source = data.load("imagenet2012", folder, 100)
    settings = config(folder, tmp_path).resolve(
        data=DataInfo(classes=CLASSES, examples=3 * CLASSES, flip=True)
    )
    prepared = prepare(source, settings)
    assert isinstance(prepared.meta._set, Kept)
    assert not isinstance(prepared.labelled._set, Kept)
    # What is kept is what lies in the files.
    kept = prepared.meta._set
    np.testing.assert_array_equal(kept.labels, source.train.labels[prepared.splits.meta])
    stored = [encoded for encoded, _ in source.train.encoded().as_numpy_iterator()]
    for at, (encoded, label) in enumerate(kept.encoded().as_numpy_iterator()):
        index = prepared.splits.meta[at]
        assert (encoded, label) == (stored[index], source.train.labels[index])


PASSES = """
import resource, sys
import numpy as np
from tf_metamixup.data import pipeline, sources

pipeline._SHUFFLE_BUFFER = 8
images = sources.load("imagenet2012", sys.argv[1], 32).train
options = {"batch_size": 4, "seed": 0, "purpose": "labelled", "flip": True}
stream = pipeline.stream(images, np.arange(len(images)), **options)
batches = iter(stream.shards(0, range(1), 1))
for step in range(2 * len(images) // 4):
    next(batches)
    if step in (10, 2 * len(images) // 4 - 1):
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_was_read(write_imagenet):
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    folder = write_imagenet([(np.roll(noise, i, axis=0), i) for i in range(256)])
    stored = sum(path.stat().st_size for path in Path(folder).rglob("*train*tfrecord*"))
    assert stored > 60 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", PASSES, folder], capture_output=True, text=True, check=True
    )
    early, late = map(int, done.stdout.split())
    assert late - early < 30  # MiB
