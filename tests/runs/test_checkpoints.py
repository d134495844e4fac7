import errno
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.runs.checkpoints import Checkpoints, Progress


def variables(shape=(2, 3)):
    return [
        keras.Variable(np.zeros(shape), dtype="float32", name="kernel"),
        keras.Variable(0, dtype="int64", trainable=False, name="iterations"),
    ]


@pytest.fixture
def run(tmp_path):
    """Checkpoints in a folder, and the variables they hold."""
    held = variables()
    return Checkpoints(tmp_path / "checkpoints", held), held


def save(run, step):
    checkpoints, held = run
    held[0].assign(np.full((2, 3), step))
    held[1].assign(step)
    counted = {"counts": np.arange(step), "empty": np.zeros((0, 2), np.float32)}
    checkpoints.save(step, Progress({"history": [{"epoch": 1, "loss": 0.1}]}, counted))


def restored(run):
    checkpoints, held = run
    for variable in held:
        variable.assign(-np.ones(variable.shape))
    progress = checkpoints.restore()
    step = progress.state["step"]
    assert held[1].numpy() == step
    np.testing.assert_array_equal(held[0], np.full((2, 3), step))
    np.testing.assert_array_equal(progress.arrays["counts"], np.arange(step))
    assert progress.arrays["empty"].shape == (0, 2)
    assert progress.state["history"] == [{"epoch": 1, "loss": 0.1}]
    return step


def folders(run):
    return sorted(path.name for path in run[0]._folder.iterdir())


def truncate(folder, name):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_a_bit(folder, name):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(folder, name):
    (folder / name).unlink()


def empty(folder, name):
    (folder / name).write_bytes(b"")


FILES = [
    "variables.data-00000-of-00001",
    "variables.index",
    "state.json",
    "arrays.npz",
    "SHA256SUMS",
]


def test_nothing_saved_restores_nothing(run):
    assert run[0].restore() is None


def test_what_was_saved_is_restored_and_the_last_two_are_kept(run):
    for step in (3, 9, 10, 100):
        save(run, step)
    assert folders(run) == ["step-0000000010", "step-0000000100"]
    assert restored(run) == 100


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(run, damage, name):
    save(run, 1)
    save(run, 2)
    damage(run[0]._folder / "step-0000000002", name)
    with pytest.warns(UserWarning, match="step-0000000002 is damaged"):
        assert restored(run) == 1


def test_a_list_of_checksums_that_is_cut_short_is_called_so(run):
    save(run, 1)
    save(run, 2)
    (run[0]._folder / "step-0000000002" / "SHA256SUMS").write_text("0123\n")
    with pytest.warns(UserWarning, match=r"is damaged \(SHA256SUMS is no list of checksums\)"):
        assert restored(run) == 1


def test_a_file_without_a_checksum_is_damage(run):
    save(run, 1)
    save(run, 2)
    sums = run[0]._folder / "step-0000000002" / "SHA256SUMS"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))
    with pytest.warns(UserWarning, match="step-0000000002 is damaged"):
        assert restored(run) == 1


def test_a_draft_that_a_killed_run_left_is_ignored_and_goes_with_the_next_checkpoint(run):
    save(run, 1)
    save(run, 2)
    folder = run[0]._folder
    shutil.copytree(folder / "step-0000000002", folder / ".draft")
    (folder / ".draft" / "state.json").unlink()
    assert restored(run) == 2
    save(run, 3)
    assert folders(run) == ["step-0000000002", "step-0000000003"]


def test_a_damaged_newer_checkpoint_does_not_outlive_the_next_one(run):
    save(run, 1)
    save(run, 5)
    truncate(run[0]._folder / "step-0000000005", "state.json")
    with pytest.warns(UserWarning):
        restored(run)
    save(run, 3)
    assert folders(run) == ["step-0000000001", "step-0000000003"]
    save(run, 5)
    assert restored(run) == 5


def test_nothing_but_damaged_checkpoints_is_an_error(run):
    save(run, 1)
    remove(run[0]._folder / "step-0000000001", "arrays.npz")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(UserError, match="is damaged; remove the folder"),
    ):
        run[0].restore()


def test_a_checkpoint_of_another_model_is_refused(run):
    save(run, 1)
    other = Checkpoints(run[0]._folder, variables(shape=(3, 2)))
    with pytest.raises(UserError, match="step-0000000001 does not have the variables"):
        other.restore()
    fewer = Checkpoints(run[0]._folder, variables()[:1])
    with pytest.raises(UserError, match="does not have the variables"):
        fewer.restore()


def test_a_second_model_of_the_same_kind_in_one_process_is_not_another_model(tmp_path):
    def model():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    first, second = model(), model()
    assert first.variables[0].path != second.variables[0].path
    Checkpoints(tmp_path, first.variables).save(1, Progress({}, {}))
    Checkpoints(tmp_path, second.variables).restore()
    np.testing.assert_array_equal(second.variables[0], first.variables[0])


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
    ],
    ids=["of Python", "of TensorFlow"],
)
def test_a_full_disk_is_reported_and_leaves_older_checkpoints_intact(run, monkeypatch, error):
    save(run, 1)
    save(run, 2)

    def full(*_, **__):
        raise error

    if isinstance(error, OSError):
        monkeypatch.setattr(pathlib.Path, "write_text", full)
    else:
        monkeypatch.setattr(tf.train.Checkpoint, "write", full)
    with pytest.raises(UserError, match=r"No space left on device\. Older checkpoints are intact"):
        save(run, 3)
    monkeypatch.undo()
    assert folders(run) == ["step-0000000001", "step-0000000002"]
    assert restored(run) == 2
