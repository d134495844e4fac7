import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.methods.by_hand import Logits, batch, clock, reported
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError
from tf_metamixup.mixing import Mixture

LN3 = np.log(3.0)
# Rows 0 and 1 are trained on, rows 2 and 3 unseen; logits are the image.
DATA = batch(
    x=[[LN3, 0.0], [0.0, LN3], [5.0, 0.0], [0.0, 5.0]],
    y=[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
    views=[[[0.0, 0.0]]] * 4,
)
PARTNER = tf.constant([1, 0, 2, 3])


class Parts(Logits):
    """A generator that answers alpha = 1/2, Delta = 1/4; a discriminator that reads one feature."""

    def part(self, name, x):
        if name == "generator":
            return tf.repeat(tf.math.log([[0.5, 0.25, 0.25]]), len(x), axis=0)
        if name == "trunk":
            return x[:, :1], x
        return tf.concat([tf.zeros_like(x), x], axis=1)


def examples(groups=1):
    return methods.make("adamixup").examples(Parts(), DATA, clock(), groups)


def test_half_of_each_row_group_stays_unseen():
    np.testing.assert_array_equal(examples().accepted, [True, True, False, False])
    np.testing.assert_array_equal(examples(groups=2).accepted, [True, False, True, False])


def test_lambda_is_alpha_plus_delta_times_u():
    forward, method = Parts(), methods.make("adamixup")
    lambdas, region = method.lambdas(forward, examples(), PARTNER)
    u = forward.draws.uniform("lambda", 4)
    np.testing.assert_allclose(lambdas.value[:2], 0.5 + 0.25 * u[:2], rtol=1e-6)
    np.testing.assert_array_equal(lambdas.value[2:], [1, 1])
    assert reported(region) == pytest.approx({"alpha": 0.5, "delta": 0.25})


def mixture(lam):
    return Mixture(examples(), PARTNER, tf.stack([lam, lam, 1.0, 1.0]))


def test_the_losses_by_hand():
    # lambda = 3/4: mixed logits (3/4, 1/4) LN3, so p = sqrt(3) : 1; targets (3/4, 1/4).
    method = methods.make("adamixup")
    value, watched = method.loss(Parts(), mixture(tf.constant(0.75)), DATA, clock())
    ratio = np.sqrt(3.0)
    mixed = -(0.75 * np.log(ratio / (1 + ratio)) + 0.25 * np.log(1 / (1 + ratio)))
    clean = np.log(4 / 3)
    classification = (2 * mixed + 2 * clean) / 4
    # The discriminator's margin for "real" is the first feature: of the mixed rows 3/4 LN3 and
    # 1/4 LN3, of the unseen ones 5 and 0, of the clean ones LN3 and 0.
    fake = np.log1p(np.exp([0.75 * LN3, 0.25 * LN3]))
    real = np.log1p(np.exp(-np.array([5, 0, LN3, 0])))
    intrusion = (fake.sum() + real.sum()) / 6
    expected = {"classification_loss": classification, "intrusion_loss": intrusion}
    assert reported(watched) == pytest.approx(expected, rel=1e-5)
    assert float(value) == pytest.approx(classification + intrusion, rel=1e-5)


def test_without_a_discriminator_only_classification_is_left():
    method = methods.make("adamixup(discriminator=False)")
    value, watched = method.loss(Parts(), mixture(tf.constant(0.75)), DATA, clock())
    assert watched.keys() == {"classification_loss"}
    assert float(value) == pytest.approx(reported(watched)["classification_loss"])


def test_lambda_has_a_gradient_through_the_images_and_none_through_the_targets():
    method = methods.make("adamixup(discriminator=False)")
    lam = tf.Variable(0.75)
    with tf.GradientTape() as tape:
        loss, _ = method.loss(Parts(), mixture(tf.convert_to_tensor(lam)), DATA, clock())
    # Both mixed rows have the margin m = (2 lam - 1) LN3 for their first class and the fixed
    # target 3/4: d CE / d m = sigmoid(m) - 3/4; each is one of four classified rows.
    probability = 1 / (1 + np.exp(-0.5 * LN3))
    expected = 2 / 4 * (probability - 0.75) * 2 * LN3
    assert float(tape.gradient(loss, lam)) == pytest.approx(expected, rel=1e-5)


def test_the_generator_is_a_fresh_trunk_and_all_parts_are_trained():
    def model():
        image = keras.Input(tiny.SHAPE)
        x = keras.layers.Flatten(name="features")(keras.layers.Conv2D(2, 3)(image))
        return keras.Model(image, keras.layers.Dense(3)(x))

    trainer = tiny.trainer("adamixup", "none", model=model)
    own = {id(v) for v in trainer.model.trainable_variables}
    # A convolution and two dense layers of the generator, two dense layers of the discriminator.
    assert len(trainer.network.trainable) == len(own) + 6 + 4
    generator = trainer.network.parts["generator"]
    assert not own & {id(v) for v in generator.trainable_variables}
    assert not np.allclose(generator.trainable_variables[0], trainer.model.trainable_variables[0])
    assert trainer.parameters == sum(np.prod(v.shape) for v in trainer.model.trainable_variables)


@pytest.mark.parametrize("method", ["adamixup", "adamixup(discriminator=False)"])
def test_the_generator_learns_from_the_pairs_it_sees(method):
    trainer = tiny.trainer(method, "none", weight_decay=0.0)
    generator = trainer.network.parts["generator"]
    before = [np.array(v) for v in generator.trainable_variables]
    pair = np.random.default_rng(0).normal(size=(2, *tiny.SHAPE)).astype(np.float32)
    first, second = generator(pair)
    assert not np.allclose(first, second, rtol=1e-3)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=3)
    graphs.train(graphs.batches(0), 0, 3)
    for old, new in zip(before, generator.trainable_variables, strict=True):
        assert not np.array_equal(old, new), new.path


def test_a_row_group_of_one_image_is_refused():
    with pytest.raises(UserError, match="2 images"):
        examples(groups=4)


def test_a_policy_beside_it_is_refused():
    with pytest.raises(UserError, match="learns lambda itself"):
        tiny.trainer("adamixup", "meta")


def test_a_model_without_features_is_refused():
    with pytest.raises(UserError, match="features"):
        tiny.trainer("adamixup", "none", model=tiny.unnamed)
