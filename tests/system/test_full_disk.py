"""A disk that is really full: a small tmpfs, which takes root to mount."""

import os
import subprocess

import pytest

from tests.outcome import outcome, result_of
from tf_metamixup import main

pytestmark = pytest.mark.slow

FLAGS = ("--mode=ssl", "--policy=beta", "--architecture=cnn3(width=2)", "--batch_size=20")


@pytest.fixture
def run(capfd):
    """Runs `main` in this process: (exit code, what it said)."""

    def call(run_dir, *flags):
        code = main.main(["main", *FLAGS, f"--run_dir={run_dir}", *flags])
        said = capfd.readouterr().err
        assert "Traceback" not in said
        return code, said

    return call


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


def test_a_full_disk_is_reported_and_what_was_written_before_is_whole(run, small_disk, tmp_path):
    assert run(tmp_path / "whole", "--epochs=2", "--noexport")[0] == 0
    assert run(small_disk / "run", "--epochs=2", "--noexport", "--max_steps=61")[0] == 0

    fill(small_disk, left=8192)
    code, said = run(small_disk / "run", "--epochs=2", "--noexport")
    assert code == 1
    assert "cannot write" in said and "No space left on device" in said
    assert [path.name for path in (small_disk / "run/checkpoints").iterdir()] == ["step-0000000061"]

    (small_disk / "filler").unlink()
    assert run(small_disk / "run", "--epochs=2", "--noexport")[0] == 0
    assert outcome(small_disk / "run") == outcome(tmp_path / "whole")

    fill(small_disk, left=16384)
    code, said = run(small_disk / "run", "--epochs=2")
    assert code == 1
    assert "cannot write the SavedModel" in said
    assert not (small_disk / "run/saved_model").exists()
    (small_disk / "filler").unlink()
    assert run(small_disk / "run", "--epochs=2")[0] == 0
    assert (small_disk / "run/saved_model/saved_model.pb").exists()
    assert result_of(small_disk / "run")["status"] == "finished"
