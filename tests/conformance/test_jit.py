"""`jit`: methods and policies compile on one replica, and compiled steps are the plain ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tests.conformance.pairs import COVERING
from tests.conformance.properties import EPOCH, RUN, Pair
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import scale

STEPS = 3
COMPARED = [
    ("supervised", "meta(refresh=2)"),
    ("pseudo_label(threshold=0.5)", tiny.EXACT),
]


@pytest.mark.parametrize(("method", "policy"), COVERING)
def test_every_method_and_policy_compiles(method, policy):
    """To XLA's own language, where what it does not know would be reported."""
    pair = Pair(method, policy, norm="plain", jit=True)
    graphs = pair.graphs
    batch = graphs.to_batch(next(graphs.batches(0)))
    lowered = graphs._step.experimental_get_compiler_ir(batch, tf.constant(0, tf.int64), True)
    assert "convolution" in lowered(stage="hlo")


@pytest.mark.parametrize(("method", "policy"), COMPARED)
def test_a_compiled_step_is_the_plain_one_to_rounding(float64, method, policy):
    """Weights, statistics and momentum after three steps, in float64 to 1e-10."""
    plain, compiled = (Pair(method, policy, norm="plain", jit=jit) for jit in (False, True))
    reported = [plain.step(at=at) for at in range(STEPS)]
    _, rows = compiled.train(0, STEPS)
    lambdas = np.concatenate([report.lambdas.value for report in reported])
    np.testing.assert_allclose(rows[:, 0], lambdas, atol=1e-6)  # reported in float32
    for number, (expected, actual) in enumerate(
        zip(plain.weights(), compiled.weights(), strict=True)
    ):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10, err_msg=str(number))


def test_a_model_that_was_made_in_no_strategy_compiles():
    """As in a plain program; `tiny.trainer` has a strategy of one replica."""
    options = {"learning_rate": 0.1, "preprocess": scale, "jit": True}
    trainer = tmm.Trainer(tiny.network(), "supervised", "none", **options)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=EPOCH, steps=RUN)
    metrics, losses, _ = graphs.train(graphs.batches(0), 0, 2)
    assert metrics["train_loss"].shape == (2, 2)
    assert np.isfinite(losses).all()


def own(images, labels):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


def test_data_are_checked_and_a_short_batch_is_trained_on(tmp_path):
    """XLA drops assertions and compiles for one shape."""
    pixels, labels = tiny.images(20)  # 8, 8 and 4 rows
    trainer = tiny.trainer("supervised", "none", row_groups=1, jit=True)
    graphs = trainer.graphs(labelled=own(pixels, labels), epoch_steps=EPOCH, steps=RUN)
    assert len(graphs.train(graphs.batches(0), 0, 3)[2]) == 20
    broken = own(pixels, np.where(np.arange(20) == 19, tiny.CLASSES, labels))
    with pytest.raises(UserError, match="a label is not one of the 3 classes"):
        graphs.train(trainer.graphs(labelled=broken, epoch_steps=EPOCH, steps=RUN).batches(0), 0, 3)


def test_a_model_that_xla_does_not_know_is_reported():
    class Shuffled(keras.layers.Layer):
        def call(self, x):
            return tf.random.experimental.stateless_shuffle(x, [0, 1])

    def model():
        image = keras.Input(tiny.SHAPE)
        features = keras.layers.Flatten()(Shuffled()(image))
        return keras.Model(image, keras.layers.Dense(tiny.CLASSES)(features))

    trainer = tiny.trainer("supervised", "none", model=model, jit=True)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=EPOCH, steps=RUN)
    with pytest.raises(UserError, match=r"XLA cannot compile .* no operation StatelessShuffle"):
        graphs.train(graphs.batches(0), 0, 1)


def test_several_replicas_are_refused():
    with pytest.raises(UserError, match=r"one device, .* 2 replicas"):
        tiny.trainer(replicas=2, jit=True)
