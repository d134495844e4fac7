import json

import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import strategy

WORKERS = ["host1:20000", "host2:20000"]


def config(**changes):
    content = {"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": 1}}
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("{", "JSONDecodeError"),
        ("[1, 2]", "AttributeError"),
        (config(task={}), "KeyError: 'type'"),
        (config(task={"type": "worker", "index": 2}), "not in list"),
        (config(task={"type": "worker", "index": "1"}), "not in list"),
        (config(task={"type": "ps", "index": 0}), "not in list"),
        (config(cluster={"worker": ["host1", "host2"]}), "invalid literal"),
        (config(cluster={"worker": [1, 2]}), "AttributeError"),
    ],
)
def test_a_tf_config_that_makes_no_sense_is_reported_with_one_that_does(
    monkeypatch, text, reported
):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="must look like") as raised:
        strategy.make_strategy()
    assert text in str(raised.value).replace("\\'", "'") and reported in str(raised.value)


def test_a_worker_without_a_gpu_has_one_replica(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config())
    with pytest.raises(UserError, match="--replicas=2: without a GPU"):
        strategy.make_strategy(2)


@pytest.mark.parametrize("text", [None, "", "{}", config(cluster={"worker": WORKERS[:1]})])
def test_a_job_of_one_is_no_job(monkeypatch, text):
    monkeypatch.setattr(strategy, "local_strategy", lambda replicas: ("local", replicas))
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    assert strategy.make_strategy(3) == ("local", 3)


def test_more_replicas_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0", "GPU:1"])
    with pytest.raises(UserError, match="--replicas=3 must be at most 2, the number of GPUs"):
        strategy.local_strategy(3)
