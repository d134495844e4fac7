"""What the workers of a job are to each other, and jobs of real processes."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny, worker
from tests.outcome import outcome
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution.workers import Workers

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS_TO_NOTICE = 60
SECONDS_TO_STOP = 15


class TwoWorkers(Workers):
    """This process as worker 0, and what the other one would say."""

    def __init__(self, other):
        super().__init__(tf.distribute.get_strategy())
        self.count = 2
        self._other = other

    def exchange(self, numbers):
        return np.array([numbers, self._other], np.int64)


def test_one_process_is_a_job_of_one_worker():
    workers = Workers(tiny.strategy(2))
    assert (workers.count, workers.index, workers.chief) == (1, 0, True)
    assert workers.exchange([3, 4]).tolist() == [[3, 4]]
    assert workers.from_chief(b"checkpoint") == b"checkpoint"
    workers.check_same(settings={"seed": 1})
    with workers.together():
        pass


def test_a_block_that_fails_on_another_worker_fails_here():
    with (
        pytest.raises(UserError, match="worker 1 of 2 could not go on"),
        TwoWorkers([1]).together(),
    ):
        pass
    with TwoWorkers([0]).together():
        pass


def test_a_block_that_fails_here_tells_the_others_and_its_own_error():
    reported = []
    workers = TwoWorkers([0])
    workers.exchange = reported.append
    with pytest.raises(UserError, match="no such data"), workers.together():
        raise UserError("no such data")
    assert reported == [[1]]


def test_workers_that_were_started_otherwise_are_named():
    class Asked(TwoWorkers):
        def exchange(self, numbers):
            self.said = numbers
            return super().exchange(numbers)

    asked = Asked([0, 0])
    with pytest.raises(UserError, match="worker 1 of 2 has other settings than worker 0"):
        asked.check_same(settings={"seed": 1}, splits=[1, 2])
    TwoWorkers(asked.said).check_same(settings={"seed": 1}, splits=[1, 2])
    with pytest.raises(UserError, match="other splits"):
        TwoWorkers(asked.said).check_same(settings={"seed": 1}, splits=[1, 3])


def test_a_lost_worker_is_reported_and_other_errors_are_not_taken_for_one():
    lost = tf.errors.UnavailableError(None, None, "Connection reset by peer")
    with pytest.raises(UserError, match="worker 0 of 2 has lost another"), TwoWorkers([]).watched():
        raise lost
    with pytest.raises(tf.errors.InvalidArgumentError), TwoWorkers([]).watched():
        raise tf.errors.InvalidArgumentError(None, None, "a label is negative")
    with pytest.raises(tf.errors.UnavailableError), Workers(tiny.strategy(1)).watched():
        raise lost


# Replicas of one process are compared for all methods and policies in tests/conformance.
PAIRS = [("supervised", "meta(refresh=2)"), ("pseudo_label(threshold=0.6)", tiny.EXACT)]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_workers_equal_one_device_in_float64(tmp_path, float64):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    names = [name for pair in PAIRS for name in pair]
    jobs = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        jobs.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.worker", str(tmp_path / f"{index}.npz"), *names],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": json.dumps(config)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for job in jobs:
        _, err = job.communicate(timeout=300)
        assert job.returncode == 0, err
    both = [dict(np.load(tmp_path / f"{index}.npz")) for index in range(2)]
    for number, (method, policy) in enumerate(PAIRS):
        one = worker.trained(tiny.trainer(method, policy, model=worker.network, **worker.options()))
        for place, expected in enumerate(one):
            for found in both:
                np.testing.assert_allclose(
                    found[f"{number}/{place}"],
                    expected,
                    rtol=0,
                    # The rows, which come last, are reported in float32.
                    atol=1e-6 if place == len(one) - 1 else 1e-10,
                    err_msg=f"{method}, {policy}: tensor {place}",
                )


class Job:
    """Two workers of `main` on digits, started by launch/multiworker.sh."""

    def __init__(self, run_dir, logs, *flags):
        self.run_dir = run_dir
        self.log = logs / "worker1.log"
        command = [
            *(sys.executable, "-m", "tf_metamixup.main", "--mode=ssl", "--policy=beta"),
            *(
                "--architecture=cnn3(width=2)",
                "--batch_size=20",
                "--epochs=6",
                "--evaluate_every=6",
                "--checkpoint_every=1",
            ),
            *(f"--run_dir={run_dir}", *flags),
        ]
        self.process = subprocess.Popen(
            ["bash", "launch/multiworker.sh", "2", *command],
            cwd=ROOT,
            env=os.environ | {"LOGS": str(logs)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.other = int(re.search(r"pid (\d+)", self.process.stderr.readline()).group(1))

    def wait_for_a_checkpoint_after(self, before):
        deadline = time.monotonic() + 200
        while self.checkpoints() <= before:
            assert self.process.poll() is None, self.process.stderr.read() + self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def checkpoints(self):
        return {path.name for path in (self.run_dir / "checkpoints").glob("step-*")}

    def end(self):
        """(exit code, what the chief printed, what the other printed, seconds)."""
        begun = time.monotonic()
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out + err, self.log.read_text(), time.monotonic() - begun


@pytest.mark.slow
def test_a_job_survives_a_signal_and_the_kill_of_one_worker(tmp_path):
    code, chief, other, _ = Job(tmp_path / "whole", tmp_path).end()
    assert code == 0, chief + other
    assert "finished: " in chief
    assert "finished: " not in other  # the chief alone tells and writes
    assert (tmp_path / "whole/saved_model").is_dir()

    job = Job(tmp_path / "run", tmp_path)
    job.wait_for_a_checkpoint_after(set())
    job.process.terminate()  # the script, which passes it on
    code, chief, other, took = job.end()
    print(f"SIGTERM to two workers: {took:.1f} s")
    assert code == 128 + signal.SIGTERM, chief + other
    assert "stopped by SIGTERM" in chief and "stopped by SIGTERM" in other
    assert took < SECONDS_TO_STOP

    seen = job.checkpoints()
    job = Job(tmp_path / "run", tmp_path)
    job.wait_for_a_checkpoint_after(seen)
    os.kill(job.other, signal.SIGKILL)
    code, chief, other, took = job.end()
    print(f"SIGKILL of one of two workers: {took:.1f} s")
    assert code == 128 + signal.SIGKILL, chief + other
    assert "worker 0 of 2 has lost another one" in chief
    assert "Traceback" not in chief
    assert took < SECONDS_TO_NOTICE

    code, chief, other, _ = Job(tmp_path / "run", tmp_path).end()
    assert code == 0, chief + other
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
