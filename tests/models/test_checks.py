"""Each model that the step would train wrongly is refused in one line, by both entrances."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.core.errors import UserError
from tf_metamixup.models.checks import check_model

ENTRANCES = {
    "Trainer": lambda model: tmm.Trainer(model, "supervised", "none"),
    "MixUpModel": lambda model: tmm.MixUpModel(model, "none"),
}


def graph(*ends, shape=(4,)):
    """Dense(3), and what follows it."""
    x = image = keras.Input(shape)
    for each in (layers.Flatten(), layers.Dense(3), *ends):
        x = each(x)
    return keras.Model(image, x)


class Subclass(keras.Model):
    """With a gate that Keras lists last, and whose sigmoid does not end the model."""

    def __init__(self, end=None):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(3)
        self.gate = layers.Dense(1, "sigmoid")
        self.end = end

    def call(self, x):
        x = self.flat(x)
        logits = self.dense(x) * self.gate(x)
        return logits if self.end is None else self.end(logits)


class OwnSoftmax(layers.Layer):
    def call(self, x):
        return tf.nn.softmax(x)


def wrapped(model, shape=(4,)):
    image = keras.Input(shape)
    return keras.Model(image, model(image))


def called():
    model = Subclass()
    model(np.ones([2, 4], np.float32))
    return model


def zeros():
    """A gated model whose last kernel was initialized with zeros."""
    model = wrapped(Subclass())
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return model


def two_inputs():
    images = [keras.Input([4]), keras.Input([4])]
    return keras.Model(images, layers.Dense(3)(layers.Add()(images)))


def two_outputs():
    image = keras.Input([4])
    return keras.Model(image, [layers.Dense(3)(image), layers.Dense(3)(image)])


def named_output():
    image = keras.Input([4])
    return keras.Model(image, {"logits": layers.Dense(3)(image)})


def regularized():
    return keras.Sequential([keras.Input([4]), layers.Dense(3, kernel_regularizer="l2")])


def frozen():
    model = graph()
    model.trainable = False
    return model


def ensemble():
    image = keras.Input([4])
    return keras.Model(
        image, layers.Average()([layers.Dense(3, "softmax")(image) for _ in range(2)])
    )


def gated(end):
    """Gated features, as of squeeze and excitation, and an end that gives no probabilities."""
    image = keras.Input([6, 6, 3])
    x = layers.Conv2D(3, 3)(layers.Rescaling(1 / 255)(image))
    x = x * layers.Dense(3, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(image, end(x))


def complement():
    image = keras.Input([4])
    p = layers.Dense(1, "sigmoid")(image)
    return keras.Model(image, layers.Concatenate()([1 - p, p]))


NESTED = keras.Sequential([keras.Input([3]), layers.Dense(3, "sigmoid")])
PROBABILITIES = {
    "softmax of the Dense layer": lambda: graph(layers.Dense(3, "softmax")),
    "softmax of TensorFlow": lambda: graph(layers.Dense(3, activation=tf.nn.softmax)),
    "softmax layer": lambda: graph(layers.Softmax()),
    "softmax layer as activation": lambda: graph(layers.Dense(3, activation=layers.Softmax())),
    "softmax activation layer": lambda: graph(layers.Activation("softmax")),
    "softmax operation": lambda: graph(keras.ops.softmax),
    "softmax and what changes nothing": lambda: graph(
        layers.Softmax(), layers.Activation("linear", dtype="float32"), layers.Identity()
    ),
    "softmax in a Lambda": lambda: graph(layers.Lambda(lambda x: tf.nn.softmax(x))),
    "softmax in a layer of one's own": lambda: graph(OwnSoftmax()),
    "softmax in a subclass": lambda: wrapped(Subclass(layers.Softmax())),
    "softmax that is clipped": lambda: graph(
        layers.Softmax(), lambda x: keras.ops.clip(x, 1e-7, 1.0)
    ),
    "softmax that is rescaled": lambda: graph(layers.Softmax(), layers.Rescaling(1.0)),
    "softmax of an ensemble": ensemble,
    "sigmoid and its complement": complement,
    "sigmoid of the Dense layer": lambda: graph(layers.Dense(3, "sigmoid")),
    "sigmoid activation layer": lambda: graph(layers.Activation("sigmoid")),
    "sigmoid operation": lambda: graph(keras.ops.sigmoid),
    "sigmoid in a nested model": lambda: graph(NESTED),
    "sigmoid in a subclass": lambda: wrapped(Subclass(layers.Activation("sigmoid"))),
    "hard_sigmoid activation layer": lambda: graph(layers.Activation("hard_sigmoid")),
}
REFUSED = {
    "no model": (lambda: layers.Dense(3), "must be a built keras.Model, and it is a Dense"),
    "not built": (lambda: keras.Sequential([layers.Dense(3)]), "must be a built keras.Model"),
    "frozen": (frozen, "with trainable variables"),
    "subclass": (Subclass, "wrap it: image = keras.Input"),
    "subclass that was called": (called, "'subclass.*' is a subclass of keras.Model.* wrap it"),
    "MixUpModel": (lambda: tmm.MixUpModel(graph(), "none"), "is a subclass of keras.Model"),
    "two inputs": (two_inputs, "must take one tensor of images, and .* takes 2"),
    "fixed batch": (
        lambda: keras.Sequential([keras.Input((4,), batch_size=8), layers.Dense(3)]),
        "takes exactly 8 images at once.* without batch_size",
    ),
    "two outputs": (two_outputs, r"must return logits \[rows, classes\], and it returns list"),
    "named output": (named_output, "and it returns dict"),
    "no classifier": (
        lambda: graph(layers.Reshape([1, 3]), layers.Dense(3)),
        r"returns \(None, 1, 3\); .* add a Dense layer",
    ),
    "one logit": (lambda: graph(layers.Dense(1, "sigmoid")), r"end it in Dense\(2\) without an"),
    "spectral normalization": (
        lambda: graph(layers.SpectralNormalization(layers.Dense(3))),
        "assigns its own kernel",
    ),
    "regularizers": (regularized, "use weight_decay"),
    **{
        name: (build, f"ends in a .*{name.split()[0]}.* the losses take logits")
        for name, build in PROBABILITIES.items()
    },
}


@pytest.mark.parametrize("enter", ENTRANCES.values(), ids=ENTRANCES)
@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_a_model_that_the_step_cannot_train_is_refused_in_one_line(enter, build, message):
    with pytest.raises(UserError, match=message) as raised:
        enter(build())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "build",
    [
        graph,
        lambda: wrapped(Subclass()),
        lambda: graph(layers.Activation("log_softmax")),
        lambda: graph(layers.Activation("tanh"), layers.Dense(3)),
        lambda: graph(layers.Activation("linear")),
        lambda: graph(layers.Lambda(lambda x: 2 * x)),
        lambda: graph(layers.Lambda(lambda x: tf.clip_by_value(x, 0.1, 0.3))),
        zeros,
        lambda: gated(lambda x: layers.GlobalAveragePooling2D()(layers.ReLU()(x))),
        lambda: gated(lambda x: layers.Dense(3, "softplus")(layers.Flatten()(x))),
        lambda: keras.Sequential([keras.Input([4]), layers.Softmax(), layers.Dense(3)]),
    ],
    ids=[
        "Dense",
        "wrapped subclass with a gate",
        "log_softmax",
        "Dense after tanh",
        "linear",
        "Lambda",
        "Lambda with values in [0, 1]",
        "zeros",
        "pooling behind a gate",
        "softplus behind a gate",
        "Dense after softmax",
    ],
)
def test_a_model_that_returns_logits_is_taken(build):
    check_model(build())


HALF = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


@pytest.mark.parametrize("enter", ENTRANCES.values(), ids=ENTRANCES)
@pytest.mark.parametrize("policy", HALF)
def test_a_global_policy_of_half_precision_is_refused(global_policy, enter, policy):
    earlier = graph()
    global_policy(policy)
    for model in (graph(), earlier):
        with pytest.raises(UserError, match=f"global dtype policy is '{policy}'.*set_dtype_policy"):
            enter(model)
    global_policy("float32")


@pytest.mark.parametrize("enter", ENTRANCES.values(), ids=ENTRANCES)
@pytest.mark.parametrize("policy", [*HALF, "float64"])
def test_a_layer_of_another_precision_is_refused(enter, policy):
    inner = keras.Sequential([keras.Input([3]), layers.Dense(3, dtype=policy, name="inner")])
    for model in (graph(layers.Dense(3, dtype=policy, name="inner")), graph(inner)):
        with pytest.raises(UserError, match=f"of the layer 'inner' is '{policy}'"):
            enter(model)


def test_a_model_that_was_built_in_half_precision_is_refused_later(global_policy):
    global_policy("mixed_bfloat16")
    model = graph()
    global_policy("float32")
    with pytest.raises(UserError, match="is 'mixed_bfloat16'"):
        check_model(model)


def test_float64_throughout_trains_by_both_entrances(float64, tmp_path):
    images, labels = tiny.images(16)
    data = tf.data.Dataset.from_tensor_slices((images / 255, labels)).batch(8)
    model = graph(shape=tiny.SHAPE)
    trainer = tmm.Trainer(model, "supervised", "beta")
    assert trainer.fit(data, steps=2, run_dir=tmp_path)["steps"] == 2
    mixed = tmm.MixUpModel(model, "beta")
    mixed.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(mixed.fit(data, verbose=0).history["loss"]).all()
    assert {str(v.dtype) for v in model.variables} == {"float64"}


def test_a_subclass_that_was_wrapped_trains_by_both_entrances(tmp_path):
    images, labels = tiny.images(16)
    pixels = (images / 255).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(8)
    inner = Subclass()
    model = wrapped(inner, tiny.SHAPE)
    before = inner.get_weights()
    tmm.Trainer(model, "supervised", "beta").fit(data, steps=2, run_dir=tmp_path)
    middle = inner.get_weights()
    mixed = tmm.MixUpModel(model, "beta")
    mixed.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    mixed.fit(data, verbose=0)
    for one, two, three in zip(before, middle, inner.get_weights(), strict=True):
        assert (one != two).any() and (two != three).any()
