"""The check of a GPU, run on the CPU through the same code."""

import json
import math
import subprocess

import keras
import pytest
import tensorflow as tf

from benchmark import gpu
from tests import tiny
from tf_metamixup.benchmark import timing, workload
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import strategy as strategies
from tf_metamixup.policies import meta

SMALL = ["--network=cnn3(width=2)", "--batch_size=8", "--num_meta=20", "--rounds=3"]


@pytest.fixture
def small(monkeypatch):
    """Settings of a tiny network, with the plain and the cached step alone, as is and compiled."""
    monkeypatch.setattr(strategies, "local_strategy", tiny.strategy)
    monkeypatch.delitem(gpu.POLICIES, "exact")
    for precision in ("tensor_float_32", "bfloat16"):
        monkeypatch.delitem(gpu.PRECISIONS, precision)
    configs, _, _ = gpu.parse(["gpu", *SMALL])
    return configs


def test_without_a_gpu_one_line_says_so_and_nothing_is_written(tmp_path):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    done = subprocess.run(
        ["bash", "launch/gpu_check.sh", f"--json={tmp_path / 'out.json'}"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, gpu.SKIPPED + "\n", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_step_is_measured_and_the_cpu_is_itself(small, capsys):
    written = []
    budget = timing.Budget(steps=1, rounds=3, seconds=0.01)
    gpu.run(small, budget, lambda result: written.append(json.dumps(result)))
    (result,) = map(json.loads, written)
    assert set(result) == {"networks", "tolerances", "device", "settings", "versions"}
    (found,) = result["networks"].values()
    for far in found["distance"].values():
        assert far == {"loss": 0, "lambda_gradient": 0, "weights": 0}
    assert list(found["distance"]) == ["float64", "float32"]
    assert gpu.differing(result) == []
    steps = found["steps"]
    assert set(steps) == {f"{policy} {how}" for policy in gpu.POLICIES for how in gpu.PRECISIONS}
    ratios = {"ratio", "ratio_range"}
    for name, cost in steps.items():
        costs = {"seconds", "seconds_range", "peak_mib"}
        costs |= {"trace_seconds", "trace_processor_seconds"}
        assert set(cost) == (costs if name == "plain float32" else costs | ratios)
        assert math.isfinite(cost["seconds"]) and cost["seconds"] > 0
    assert capsys.readouterr().out.count("\n") == 3 + len(steps)


def test_a_broken_gradient_is_found(small, monkeypatch):
    exact, taken, broken = meta.ESTIMATORS["nested"], gpu.taken, []

    def differentiate(*given):
        gradient = exact.differentiate(*given)
        return gradient + 1e-3 * gradient[::-1] if broken[-1] else gradient

    def counted(work):
        broken.append(len(broken) % 2)  # the first of two is the CPU's
        return taken(work)

    monkeypatch.setitem(meta.ESTIMATORS, "nested", exact._replace(differentiate=differentiate))
    monkeypatch.setattr(gpu, "taken", counted)
    monkeypatch.delitem(gpu.TOLERANCES, "float32")
    far = gpu.distances(small[0], tiny.strategy(1))
    result = {"networks": {"cnn3": {"distance": far}}, "tolerances": gpu.TOLERANCES}
    assert far["float64"]["lambda_gradient"] == pytest.approx(1e-3, rel=0.5)
    assert any("lambda_gradient of cnn3 in float64" in line for line in gpu.differing(result))


@pytest.mark.parametrize(
    ("dtype", "name", "far", "code"),
    [
        ("float64", "weights", 1e-5, 0),
        ("float64", "weights", 2e-4, 1),
        ("float64", "loss", math.nan, 1),
        ("float32", "loss", 2e-2, 1),
        ("float32", "weights", 2e-2, 0),
    ],
)
def test_the_exit_code_says_whether_the_steps_are_equal(
    dtype, name, far, code, tmp_path, monkeypatch, capsys
):
    found = {"distance": {dtype: {name: far}}}
    result = {"networks": {"cnn3": found}, "tolerances": gpu.TOLERANCES}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(gpu, "run", lambda *_: result)
    assert gpu.main(["gpu", *SMALL, f"--json={tmp_path / 'out.json'}"]) == code
    printed = capsys.readouterr().err
    assert (f"{name} of cnn3 in {dtype} differs by" in printed) == bool(code)


def test_a_type_has_all_its_bits_while_steps_are_compared_and_all_is_as_before_afterwards():
    def settings():
        tensor_float = tf.config.experimental.tensor_float_32_execution_enabled()
        return keras.config.floatx(), keras.config.dtype_policy().name, tensor_float

    tf.config.experimental.enable_tensor_float_32_execution(True)
    before = settings()
    with pytest.raises(UserError), gpu.computing_in("float64"):
        assert settings() == ("float64", "float64", False)
        raise UserError("a step failed")
    assert settings() == before == ("float32", "float32", True)


@pytest.mark.parametrize("flag", ["--rounds=2", "--epochs=3", "--network=cnn4"])
def test_a_bad_flag_is_reported_in_one_message(flag, capsys):
    assert gpu.main(["gpu", *SMALL, flag]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 2


def test_a_step_is_timed_with_its_own_setting_of_tensor_float_32(small, monkeypatch):
    seen = []

    def seconds(subject, batches, count):
        seen.append(tf.config.experimental.tensor_float_32_execution_enabled())
        return 1.0

    graphs = workload.make(small[0], tiny.strategy(1)).graphs("beta", timing.FROZEN, 1)
    monkeypatch.setattr(timing.Subject, "_seconds", seconds)
    with gpu.computing_in("float32"):
        subjects = [gpu.Subject(on, graphs, 0, timing.Budget()) for on in (True, False)]
        seen.clear()
        timing.one_round(dict(enumerate(subjects)))
    assert seen == [True, False] * 2  # two slices
