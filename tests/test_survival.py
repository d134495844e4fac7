"""Real processes, killed and stopped from outside."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.outcome import outcome
from tests.survivor import EPOCH_STEPS

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[1]
SECONDS_TO_STOP = 15


def start(module, *arguments):
    """A process in the checkout, with its output as text."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def survivor(run_dir):
    return start("tests.survivor", str(run_dir))


def finish(run_dir):
    """Runs the rest; the step after which it began to count."""
    with survivor(run_dir) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return int(out.split()[0])


def wait_for_step(process, step):
    """Reads on until the run has taken `step` steps."""
    for line in process.stdout:
        if int(line) >= step:
            return int(line)
    raise AssertionError(process.stderr.read())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of an uninterrupted run, in which pseudo-labels were accepted and rejected."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder)
    found = outcome(folder)
    assert all(0 < entry["accepted"] < 1 for entry in found[2])
    assert all(entry["lambda_move_mean"] > 0 for entry in found[2])
    return found


def checkpoints(run_dir):
    return sorted(int(path.name[5:]) for path in (run_dir / "checkpoints").glob("step-*"))


def test_a_run_killed_in_mid_epoch_ends_bit_identical(tmp_path, whole):
    with survivor(tmp_path) as process:
        wait_for_step(process, EPOCH_STEPS + 7)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert checkpoints(tmp_path) == [EPOCH_STEPS]
    assert finish(tmp_path) == EPOCH_STEPS + 1
    weights, lambdas, history = outcome(tmp_path)
    assert history == whole[2]
    assert lambdas == whole[1]
    assert weights == whole[0]


def test_a_run_terminated_in_mid_epoch_saves_at_once_and_ends_bit_identical(tmp_path, whole):
    with survivor(tmp_path) as process:
        reached = wait_for_step(process, EPOCH_STEPS + 7)
        process.terminate()
        begun = time.monotonic()
        process.communicate(timeout=300)
        assert time.monotonic() - begun < SECONDS_TO_STOP
    first, last = checkpoints(tmp_path)
    assert first == EPOCH_STEPS
    assert reached <= last < 2 * EPOCH_STEPS
    assert finish(tmp_path) == last + 1
    assert outcome(tmp_path) == whole


MAIN = ("tf_metamixup.main", "--mode=ssl", "--architecture=cnn3(width=2)", "--batch_size=20")


@pytest.mark.parametrize(
    ("signum", "replicas"), [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGINT, 1)]
)
def test_a_signal_while_the_graph_is_built_ends_the_run_in_time(tmp_path, signum, replicas):
    with start(*MAIN, f"--run_dir={tmp_path}/run", f"--replicas={replicas}") as process:
        told = ""
        while "0/" not in told:  # the progress bar, which stands before the graph is built
            letter = process.stderr.read(1)
            assert letter, told
            told += letter
        time.sleep(1.5)
        begun = time.monotonic()
        os.kill(process.pid, signum)
        out, err = process.communicate(timeout=300)
    took = time.monotonic() - begun
    print(f"{signum.name} in building a graph for {replicas} replicas: {took:.1f} s")
    assert process.returncode == 128 + signum, told + err
    assert took < SECONDS_TO_STOP
    assert f"stopped by {signum.name}" in err
    assert "Traceback" not in err
    assert out == ""


def test_a_signal_while_tensorflow_loads_ends_the_run_in_time(tmp_path):
    with start(*MAIN, f"--run_dir={tmp_path}/run") as process:
        time.sleep(2)
        begun = time.monotonic()
        process.terminate()
        _, err = process.communicate(timeout=300)
    took = time.monotonic() - begun
    print(f"SIGTERM in loading: {took:.1f} s")
    assert process.returncode == 128 + signal.SIGTERM
    assert took < SECONDS_TO_STOP
    assert "stopped by SIGTERM" in err
    assert "Traceback" not in err


def test_two_replicas_stop_on_sigterm_with_143_and_go_on_to_the_end(tmp_path):
    command = (*MAIN, f"--run_dir={tmp_path}/run", "--replicas=2", "--epochs=12", "--noexport")
    with start(*command) as process:
        deadline = time.monotonic() + 200
        while not checkpoints(tmp_path / "run"):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "stopped by SIGTERM" in err
    with start(*command) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "finished"
    assert len(result["history"]) == 12
    assert result["config"]["replicas"] == result["config"]["row_groups"] == 2
