import errno
import fcntl
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from tf_metamixup.core.errors import UserError
from tf_metamixup.runs.directory import RunDirectory, has_begun, read_arrays, read_finished

SETTINGS = {"dataset": "digits", "seed": 0, "sizes": (1, 2)}


def test_a_run_directory_is_made_with_its_parents(tmp_path):
    folder = RunDirectory(tmp_path / "a" / "b")
    assert folder.checkpoints.is_dir()
    assert folder.read("config.json") is None


def test_a_file_where_the_folder_should_be_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"cannot write into the run directory .*file"):
            RunDirectory(path)


def test_the_same_settings_claim_a_folder_again(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.write_or_verify_config(SETTINGS, {"versions": {"numpy": "2"}})
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == {
        "settings": {"dataset": "digits", "seed": 0, "sizes": [1, 2]},
        "versions": {"numpy": "2"},
    }
    folder.write_or_verify_config(SETTINGS, {"versions": {"numpy": "3"}})
    assert json.loads((tmp_path / "config.json").read_text()) == written


def test_other_settings_are_refused_naming_each_that_differs(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.write_or_verify_config(SETTINGS, {})
    with pytest.raises(UserError) as error:
        folder.write_or_verify_config({"dataset": "digits", "seed": 1, "epochs": 5}, {})
    message = str(error.value)
    assert "epochs: None there, 5 here" in message
    assert "seed: 0 there, 1 here" in message
    assert "sizes: [1, 2] there, None here" in message
    assert "dataset" not in message


@pytest.mark.parametrize("content", ["{", "[]", "", '{"settings": []}'])
def test_a_config_that_is_no_json_object_is_reported(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"cannot read .*config\.json.*repair or remove it"):
        RunDirectory(tmp_path).write_or_verify_config(SETTINGS, {})


def test_a_file_in_the_place_of_a_run_is_no_run_directory(tmp_path):
    (tmp_path / "notes.txt").write_text("a file")
    with pytest.raises(UserError, match=r"notes\.txt holds no .*: it is no run directory"):
        read_finished(tmp_path / "notes.txt", "its labels are judged")


@pytest.mark.parametrize(
    ("length", "how"), [("epochs", "--initial_weights={}"), ("steps", "a new Trainer")]
)
def test_a_run_of_another_length_is_refused_with_how_to_start_from_its_weights(
    tmp_path, length, how
):
    RunDirectory(tmp_path).write_or_verify_config(SETTINGS | {length: 2}, {})
    with pytest.raises(UserError, match=rf"{length}: 2 there, 3 here.*{how.format(tmp_path)}"):
        RunDirectory(tmp_path).write_or_verify_config(SETTINGS | {length: 3}, {})
    with pytest.raises(UserError) as reported:
        RunDirectory(tmp_path).write_or_verify_config({"seed": 9, length: 2}, {})
    assert "keeps its length" not in str(reported.value)


def test_only_a_checkpoint_or_a_finished_result_is_a_beginning(tmp_path):
    run = tmp_path / "run"
    assert not has_begun(run) and not run.exists()
    (run / "checkpoints").mkdir(parents=True)
    assert not has_begun(run)
    (run / "result.json").write_text('{"status": "failed"}')
    assert not has_begun(run)
    (run / "result.json").write_text('{"status": "finished"}')
    assert has_begun(run)
    (run / "result.json").unlink()
    (run / "checkpoints" / "step-0000000003").mkdir()
    assert has_begun(run)


def test_a_config_without_settings_is_of_another_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="other settings"):
        RunDirectory(tmp_path).write_or_verify_config(SETTINGS, {})


def test_a_second_holder_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    hold = (
        "import fcntl, sys, time\n"
        "lock = open(sys.argv[1], 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    folder = RunDirectory(tmp_path)
    command = [sys.executable, "-c", hold, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="in use by another process"), folder.lock():
            pass
        other.kill()
    with folder.lock():
        pass


def test_a_file_system_without_locks_is_reported(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(UserError, match="no locks"), RunDirectory(tmp_path).lock():
        pass


def test_a_file_is_replaced_whole(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.write_json("result.json", {"status": "stopped"})
    folder.write_json("result.json", {"status": "finished"})
    assert folder.read("result.json") == {"status": "finished"}
    folder.write_arrays("lambdas.npz", {"before": np.arange(3)})
    with np.load(tmp_path / "lambdas.npz") as arrays:
        np.testing.assert_array_equal(arrays["before"], np.arange(3))


def test_a_full_disk_is_reported_and_leaves_the_older_file(tmp_path, monkeypatch):
    folder = RunDirectory(tmp_path)
    folder.write_json("result.json", {"status": "stopped"})

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", lambda path, mode: Full(path, mode))
    with pytest.raises(UserError, match=r"No space left on device.*make room"):
        folder.write_json("result.json", {"status": "finished"})
    with pytest.raises(UserError, match="No space left on device"):
        folder.write_arrays("lambdas.npz", {"before": np.arange(3)})
    monkeypatch.undo()
    assert folder.read("result.json") == {"status": "stopped"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "result.json"]


def damaged(content):
    """Cut short after each eighth of it, and with a byte changed in each."""
    for end in range(0, len(content), len(content) // 8):
        yield content[:end]
        yield content[:end] + bytes([content[end] ^ 255]) + content[end + 1 :]
    yield b"no archive"


def test_arrays_that_are_cut_short_or_damaged_are_reported_in_one_line(tmp_path):
    folder = RunDirectory(tmp_path)
    folder.write_arrays("lambdas.npz", {"before": np.arange(3000) % 7, "names": np.array(["a"])})
    path = tmp_path / "lambdas.npz"
    reported = 0
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        try:
            read_arrays(path)
        except UserError as error:
            assert str(error).startswith(f"cannot read {path}, which is cut short or damaged")
            assert "\n" not in str(error)
            reported += 1
    assert reported > 8
    np.save(tmp_path / "one.npy", np.arange(3))
    (tmp_path / "one.npy").rename(path)
    with pytest.raises(UserError, match="cannot read"):
        read_arrays(path)
    assert read_arrays(tmp_path / "nothing.npz") is None


def test_a_setting_that_an_older_version_did_not_know_had_its_default(tmp_path):
    RunDirectory(tmp_path).write_or_verify_config({"seed": 1}, {})
    RunDirectory(tmp_path).write_or_verify_config({"seed": 1, "select": "last"}, {})
    with pytest.raises(UserError, match="select: 'last' there, 'best' here"):
        RunDirectory(tmp_path).write_or_verify_config({"seed": 1, "select": "best"}, {})
