import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.methods.by_hand import batch, clock
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Mixture
from tf_metamixup.models.network import Network

DATA = batch(
    x=[[1.0, 3.0], [2.0, -1.0]], y=[[1.0, 0.0], [0.0, 1.0]], views=[[[0.0, 0.0]], [[0.0, 0.0]]]
)
LAM = np.array([0.25, 0.5], np.float32)


def model():
    """Squares, then cubes: logits are x^6, and where it is mixed shows."""
    x = image = keras.Input([2])
    x = keras.layers.Activation(lambda v: v**2, name="stage1")(x)
    x = keras.layers.Activation(lambda v: v**3, name="stage2")(x)
    dense = keras.layers.Dense(2, kernel_initializer="identity")
    return keras.Model(image, dense(x))


def mix(values):
    return LAM[:, None] * values + (1 - LAM[:, None]) * values[::-1]


def test_images_are_mixed_at_one_layer_drawn_anew_each_step():
    method = methods.make("manifold_mixup")
    built = model()
    network = Network(built, parts=method.parts(built))
    x, y = DATA.x.numpy(), DATA.y.numpy()
    by_layer = {0: mix(x) ** 6, 1: mix(x**2) ** 3, 2: mix(x**6)}
    seen = set()
    for step in range(20):
        forward = network.forward(network.theta, Draws.at(0, tf.constant(step)))
        mixture = Mixture(
            method.examples(forward, DATA, clock(), 1), tf.constant([1, 0]), tf.constant(LAM)
        )
        loss, _ = method.loss(forward, mixture, DATA, clock())
        expected = {
            layer: -np.mean(np.sum(mix(y) * tf.nn.log_softmax(logits), axis=1))
            for layer, logits in by_layer.items()
        }
        (layer,) = [n for n, value in expected.items() if np.isclose(loss, value, rtol=1e-4)]
        seen.add(layer)
    assert seen == {0, 1, 2}


def test_one_layer_is_mixup():
    losses = []
    for text in ("manifold_mixup(layers=1)", "supervised"):
        trainer = tiny.trainer(text, "beta", weight_decay=0.0)
        graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=3)
        losses.append(graphs.train(graphs.batches(0), 0, 3)[1])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_model_without_marked_stages_is_refused():
    with pytest.raises(UserError, match="stage1, stage2"):
        tiny.trainer("manifold_mixup", "beta", model=tiny.unnamed)
    with pytest.raises(UserError, match="must be at least 1"):
        methods.make("manifold_mixup(layers=0)")
