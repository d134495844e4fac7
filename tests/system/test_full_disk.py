"""A disk that is really full: a small tmpfs, which takes root to mount."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.outcome import outcome

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ("--mode=ssl", "--policy=beta", "--architecture=cnn3(width=2)", "--batch_size=20")


def run(run_dir, *flags):
    command = [sys.executable, "-m", "tf_metamixup.main", *FLAGS, f"--run_dir={run_dir}", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        problem = f"cannot mount a tmpfs: {done.stderr.strip()}"
        if os.environ.get("REQUIRE_ROOT_TESTS"):
            pytest.fail(problem)
        pytest.skip(f"needs root: {problem}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk, left):
    """Leaves `left` bytes."""
    free = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize - left))


def test_a_full_disk_is_reported_and_what_was_written_before_is_whole(small_disk, tmp_path):
    assert run(tmp_path / "whole", "--epochs=2", "--noexport").returncode == 0
    stopped = run(small_disk / "run", "--epochs=2", "--noexport", "--max_steps=61")
    assert stopped.returncode == 0, stopped.stderr

    fill(small_disk, left=8192)
    full = run(small_disk / "run", "--epochs=2", "--noexport")
    assert full.returncode == 1
    assert "cannot write" in full.stderr and "No space left on device" in full.stderr
    assert [path.name for path in (small_disk / "run/checkpoints").iterdir()] == ["step-0000000061"]

    (small_disk / "filler").unlink()
    assert run(small_disk / "run", "--epochs=2", "--noexport").returncode == 0
    assert outcome(small_disk / "run") == outcome(tmp_path / "whole")

    fill(small_disk, left=16384)
    full = run(small_disk / "run", "--epochs=2")
    assert full.returncode == 1
    assert "cannot write the SavedModel" in full.stderr
    assert not (small_disk / "run/saved_model").exists()
    (small_disk / "filler").unlink()
    exported = run(small_disk / "run", "--epochs=2")
    assert exported.returncode == 0, exported.stderr
    assert (small_disk / "run/saved_model/saved_model.pb").exists()
    assert json.loads((small_disk / "run/result.json").read_text())["status"] == "finished"
