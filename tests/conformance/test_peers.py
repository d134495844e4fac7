"""`benchmark/peers`: the networks that other frameworks take their steps with."""

import importlib.util
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import models

PLACE = Path(__file__).resolve().parents[2] / "benchmark" / "peers" / "networks.py"


def same(x, kernel, stride):
    return tf.nn.conv2d(x, kernel, stride, "SAME")


def norm(x, gamma, beta):
    return tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), beta, gamma, 1e-5)


OPS = types.SimpleNamespace(
    conv=same,
    norm=norm,
    relu=tf.nn.relu,
    add_bias=tf.add,
    pool=lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
    flatten=lambda x: tf.reshape(x, [len(x), -1]),
    mean=lambda x: tf.reduce_mean(x, [1, 2]),
)


@pytest.mark.parametrize(
    "architecture", ["cnn3(width=2)", "cnn3(width=2, batch_norm=True)", "wrn(depth=16, width=1)"]
)
def test_the_networks_of_peers_are_those_of_the_package(architecture):
    spec = importlib.util.spec_from_file_location("networks", PLACE)
    networks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(networks)
    keras.utils.set_random_seed(0)
    model = models.make(architecture, (8, 8, 3), 5)
    weights = {
        variable.path: tf.convert_to_tensor(variable) for variable in model.trainable_variables
    }
    x = tf.random.stateless_normal([4, 8, 8, 3], [0, 1])
    network = networks.wrn if architecture.startswith("wrn") else networks.cnn3
    np.testing.assert_allclose(network(OPS, weights, x), model(x, training=True), atol=1e-5)
