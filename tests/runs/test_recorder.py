import sys

import numpy as np
import pytest

from tf_metamixup.runs.recorder import ChiefRecord


def test_without_tensorboard_a_run_is_recorded_with_one_warning(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tf_metamixup.runs.tensorboard", raising=False)
    for name in [name for name in sys.modules if name.startswith("tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    record = ChiefRecord([], tmp_path)
    with pytest.warns(UserWarning) as told:
        record.begin({"policy": "beta"}, ["cat", "dog"])
        record.interval(1, {"losses/train": 1.0}, np.zeros((2, 6)))
        record.epoch(1, {"epoch": 1, "train_loss": 1.0})
        record.pictures(1, (np.zeros((2, 2)), np.zeros((2, 2))), None, None)
    (message,) = [str(each.message) for each in told]
    assert message.startswith("no events for TensorBoard are written: tensorboard is not installed")
    assert "pip install 'tf_metamixup[tensorboard]'" in message
    assert not (tmp_path / "tensorboard").exists()
