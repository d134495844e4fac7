import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tests import tiny
from tf_metamixup.benchmark import __main__ as benchmark
from tf_metamixup.benchmark import gradients, timing, workload
from tf_metamixup.config import Config

SMALL = [
    "--dataset=digits",
    "--architecture=cnn3(width=2)",
    *("--batch_size=8", "--steps=2", "--rounds=3", "--seconds=0.01", "--batches=2"),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(JSON, output) of the command; its own process, since it decides how memory is allocated."""
    path = tmp_path_factory.mktemp("benchmark") / "new" / "out.json"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPU_ALLOCATOR_USE_BFC"}
    done = subprocess.run(
        [sys.executable, "-m", "tf_metamixup.benchmark", *SMALL, f"--json={path}"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert [file.name for file in path.parent.iterdir()] == ["out.json"]
    return json.loads(path.read_text()), done.stdout


def numbers(tree):
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers(value)
    elif not isinstance(tree, str):
        yield tree


@pytest.mark.slow
def test_every_measured_number_is_there_and_finite(measured):
    result, _ = measured
    parts = {"start", "plain", "estimators", "feed", "keras_fit", "settings", "versions"}
    assert set(result) == parts
    assert set(result["start"]) == {"imports", "data"}
    for lap in result["start"].values():
        assert lap.keys() == {"seconds", "processor_seconds"} and min(lap.values()) > 0
    costs = {"seconds", "seconds_range", "peak_mib", "trace_seconds", "trace_processor_seconds"}
    assert set(result["plain"]) == costs | {"feed"}
    assert set(result["estimators"]) == set(workload.policies())
    for found in result["estimators"].values():
        assert set(found) == costs | {"ratio", "ratio_range", "cosine", "cosine_full_meta"}
    for fed in (result["feed"], result["plain"]["feed"], result["keras_fit"]):
        assert len(fed["rounds"]) == 5
    parts = [result[name] for name in ("plain", "estimators", "feed")]
    assert all(math.isfinite(number) for number in numbers(parts))
    assert result["settings"]["image_shape"] == [28, 28, 1]


@pytest.mark.slow
def test_nested_agrees_with_itself_and_less_with_the_whole_meta_set(measured):
    found = measured[0]["estimators"]["nested"]
    assert found["cosine"] == pytest.approx(1, abs=1e-6)
    assert -1 < found["cosine_full_meta"] < 0.999


@pytest.mark.slow
def test_the_table_has_a_line_for_each_step(measured):
    lines = measured[1].splitlines()
    assert [line.split("  ")[0] for line in lines[1:3]] == ["plain MixUp", "nested"]


@pytest.mark.parametrize(
    "flag",
    [
        *("--rounds=2", "--nonsense=1", "--epochs=3", "--batch_size=0", "--architecture=cnn4"),
        "--dataset=folder:photos",
    ],
)
def test_a_bad_flag_is_reported_in_one_message(flag, capsys):
    assert benchmark.main(["benchmark", flag]) == 2
    reported = capsys.readouterr().err
    assert reported.startswith("error: ") and reported.count("\n") == 2


def test_a_json_path_that_cannot_be_written_is_reported_before_measuring(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(benchmark, "run", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "out.json"):
        assert benchmark.main(["benchmark", *SMALL, f"--json={path}"]) == 1
        assert f"cannot write --json={path}" in capsys.readouterr().err


def test_the_ratio_is_the_median_of_ratios_within_a_round(monkeypatch):
    monkeypatch.setattr(timing, "SLICES", 2)

    class Played:
        peak_mib, trace = 1.0, {"trace_seconds": 2.0}

        def __init__(self, *seconds, slices=2):
            self.slice, self.slices = iter(seconds).__next__, slices

    result = timing.costs(
        Played(1, 1, 5, 15, 2, 2),
        {"nested": Played(3, 5, 30, 30, 10, 10), "slow": Played(8, 20, 6, slices=1)},
        rounds=3,
    )
    assert result["estimators"]["slow"]["ratio_range"] == [2, 8]
    assert result["plain"]["seconds"] == 2
    assert result["estimators"]["nested"]["seconds"] == 10
    assert result["estimators"]["nested"]["ratio"] == 4
    assert result["estimators"]["nested"]["ratio_range"] == [3, 5]


def test_timed_steps_leave_the_weights_where_they_were():
    trainer = tiny.trainer(model=lambda: tiny.network(norm="plain"), learning_rate=timing.FROZEN)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    before = [np.copy(variable.numpy()) for variable in trainer.model.trainable_variables]
    budget = timing.Budget(seconds=0.02)
    subject = timing.Subject(graphs, step=5, budget=budget)
    subject.slice()
    for old, new in zip(before, trainer.model.trainable_variables, strict=True):
        np.testing.assert_allclose(new.numpy(), old, rtol=0, atol=1e-9)


def test_grey_images_reach_an_architecture_of_colour_images_in_three_channels():
    config = Config(architecture="wrn(depth=10, width=1)")
    source, shape, preprocess = workload.load(config)
    assert source.image_shape == (32, 32, 1) and shape == (32, 32, 3)
    assert preprocess(source.train.images[:2]).shape == (2, *shape)


def test_the_cosine_with_a_zero_vector_is_zero():
    assert gradients.cosine([0, 0], [1, 2]) == 0
    assert gradients.cosine([2, 0], [3, 0]) == 1


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        (["--batch_size=128"], 0.1),
        (["--batch_size=16"], 0.0125),
        (["--batch_size=512"], 0.1),
        (["--batch_size=16", "--learning_rate=0.1"], 0.1),
    ],
)
def test_a_small_batch_is_trained_at_a_lower_rate_unless_one_is_given(given, rate):
    config, *_ = benchmark.parse(["benchmark", *given])
    assert config.learning_rate == pytest.approx(rate)
