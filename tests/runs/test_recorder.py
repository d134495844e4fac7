"""A run directory is of one run on one set of images."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import draw_pictures
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution.workers import Workers
from tf_metamixup.runs.checkpoints import Checkpoints, Progress
from tf_metamixup.runs.recorder import Recorder

SETTINGS = {"dataset": "folder:photos", "num_meta": 30}
SPLITS = {"labelled": ["cat/1"], "unlabelled": [], "meta": ["cat/2"]}
DATA = {"train/cat/1": "1", "train/cat/2": "2", "test/cat/3": "3"}


@pytest.fixture
def claim(tmp_path):
    record = Recorder(Workers(tf.distribute.get_strategy()), [], tmp_path)

    def call(settings=SETTINGS, splits=SPLITS, data=DATA):
        record.write_or_verify_config(settings, {}, splits, data)

    call()
    return call


def test_the_same_data_are_the_same_run(claim, tmp_path):
    claim()
    assert json.loads((tmp_path / "data.json").read_text()) == DATA
    assert json.loads((tmp_path / "splits.json").read_text()) == SPLITS


@pytest.mark.parametrize(
    ("data", "reported"),
    [
        (DATA | {"train/cat/4": "4"}, r"1 added \(train/cat/4\)"),
        (DATA | {"test/cat/3": "0"}, r"1 replaced \(test/cat/3\)"),
        ({k: v for k, v in DATA.items() if k != "test/cat/3"}, r"1 removed \(test/cat/3\)"),
        (
            {k.replace("cat/2", "dog/2"): v for k, v in DATA.items()},
            r"1 moved \(train/cat/2 to train/dog/2\)",
        ),
        (
            {k.replace("cat", "kitten"): v for k, v in DATA.items()},
            r"3 moved \(test/cat/3 to test/kitten/3, .*",
        ),
    ],
)
def test_other_data_are_refused_with_what_differs(claim, tmp_path, data, reported):
    # A number that follows from how many images there are is not what has to be reported.
    for settings in (SETTINGS, SETTINGS | {"num_meta": 31}):
        with pytest.raises(
            UserError, match=rf"data are not those of .*{tmp_path}: {reported}; choose"
        ):
            claim(settings, data=data)
    assert json.loads((tmp_path / "data.json").read_text()) == DATA


def test_of_another_data_set_the_name_is_reported(claim):
    with pytest.raises(UserError, match=r"dataset: 'folder:photos' there, 'digits' here"):
        claim(SETTINGS | {"dataset": "digits"}, data={"digits": "1"})


def test_other_parts_of_the_same_data_are_refused(claim):
    with pytest.raises(UserError, match=r"other images are labelled and meta; choose"):
        claim(splits={"labelled": ["cat/2"], "unlabelled": [], "meta": ["cat/1"]})


def test_a_run_of_an_older_version_is_held_to_its_parts(claim, tmp_path):
    (tmp_path / "data.json").unlink()
    with pytest.raises(UserError, match="other images are labelled"):
        claim(splits=SPLITS | {"labelled": ["cat/3"]})
    assert not (tmp_path / "data.json").exists()
    claim()
    assert json.loads((tmp_path / "data.json").read_text()) == DATA


def test_data_of_a_users_own_program_are_not_compared(claim):
    claim(splits=None, data=None)


def test_without_tensorboard_a_run_is_recorded_with_one_warning(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tf_metamixup.runs.tensorboard", raising=False)
    for name in [name for name in sys.modules if name.startswith("tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    record = Recorder(Workers(tf.distribute.get_strategy()), [], tmp_path)
    with pytest.warns(UserWarning) as reported:
        record.open_summaries({"policy": "beta"}, ["cat", "dog"])
        record.interval(1, {"losses/train": 1.0}, np.zeros((2, 6)))
        record.epoch(1, {"epoch": 1, "train_loss": 1.0})
        draw_pictures(record, 1, (np.zeros((2, 2)), np.zeros((2, 2))), None, None)
    (message,) = [str(each.message) for each in reported]
    assert message.startswith("no events for TensorBoard are written: tensorboard is not installed")
    assert "pip install '.[tensorboard]'" in message
    assert not (tmp_path / "tensorboard").exists()


@pytest.fixture
def began(tmp_path):
    """A run directory with a checkpoint of two values, forged to be of a version."""
    variables = [keras.Variable([1.0, 2.0])]
    Checkpoints(tmp_path / "checkpoints", variables).save(3, Progress({}, {}))

    def call(versions, **settings):
        content = {"settings": {"optimizer": "sgd", "momentum": 0.9} | settings}
        (tmp_path / "config.json").write_text(json.dumps(content | {"versions": versions}))
        return Recorder(Workers(tf.distribute.get_strategy()), variables, tmp_path)

    return call


@pytest.mark.parametrize("versions", [{}, {"tf_metamixup": "0.2.9"}])
def test_checkpoints_whose_velocity_contains_the_learning_rate_are_not_resumed(
    began, tmp_path, versions
):
    with pytest.raises(UserError) as refused:
        began(versions).restore()
    message = str(refused.value)
    assert f"version {versions.get('tf_metamixup', '0.1.0')}, whose SGD" in message
    assert f"--initial_weights={tmp_path}" in message and "\n" not in message


def test_checkpoints_without_such_a_velocity_are_resumed(began, tmp_path):
    assert began({"tf_metamixup": "0.3.0"}).restore().state["step"] == 3
    assert began({"tf_metamixup": "0.10.1"}).restore().state["step"] == 3
    assert began({}, optimizer="adam").restore().state["step"] == 3
    assert began({}, momentum=0.0).restore().state["step"] == 3
    (tmp_path / "result.json").write_text('{"status": "finished"}')
    assert began({}).restore().state["step"] == 3
