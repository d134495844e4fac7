"""`mixed_bfloat16`: a low-precision copy makes the passes that need not be exact."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.conformance import properties
from tests.conformance.properties import Pair
from tf_metamixup import methods, models
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.models.network import Network
from tf_metamixup.training import mixed_precision

# Eight bits of mantissa.
RESOLUTION = 2**-8


def images(rows=4):
    return tf.random.stateless_normal([rows, *tiny.SHAPE], [0, 1])


def copies(policy):
    """A network with all kinds of layers, and an exact and a fast pass through it."""
    model = tiny.network(norm="plain", dropout=0.3)
    network = Network(model, low_precision=mixed_precision.low_precision_copy(model, policy))
    draws = Draws.at(0, tf.constant(0))
    return network, *(
        network.forward(network.theta, draws, stage=stage) for stage in ("meta", "real")
    )


def test_all_layers_but_the_last_compute_in_bfloat16_on_float32_weights():
    copy = mixed_precision.low_precision_copy(models.make("wrn(depth=10, width=1)", (8, 8, 3), 10))
    *others, logits = copy.layers[1:]
    assert {layer.compute_dtype for layer in others} == {"bfloat16"}
    assert (logits.name, logits.compute_dtype) == ("logits", "float32")
    assert {variable.dtype for variable in copy.variables} == {"float32"}


def test_a_copy_at_full_precision_is_the_model():
    """Its dropout masks and its BatchNorm statistics too."""
    _, exact, fast = copies("float32")
    np.testing.assert_array_equal(fast(images()), exact(images()))
    assert len(fast.state) == 3 and fast.state.keys() == exact.state.keys()
    for key, statistic in exact.state.items():
        np.testing.assert_array_equal(fast.state[key], statistic)


def test_a_copy_in_bfloat16_rounds_and_drops_the_same():
    _, exact, fast = copies("mixed_bfloat16")
    expected, actual = exact(images()).numpy(), fast(images()).numpy()
    assert actual.dtype == np.float32
    assert 0 < np.abs(actual - expected).max() < 4 * RESOLUTION * np.abs(expected).max()
    for key, statistic in exact.state.items():
        assert fast.state[key].dtype == statistic.dtype
        np.testing.assert_allclose(fast.state[key], statistic, atol=RESOLUTION)


def test_an_average_is_of_the_same_precision():
    model = tiny.network()
    network = Network(model, average=0.5, low_precision=mixed_precision.low_precision_copy(model))
    forward = network.forward(network.theta, Draws.at(0, tf.constant(0)))
    # The average begins as the weights.
    np.testing.assert_array_equal(forward.average()(images()), forward(images()))


def test_what_the_copy_returns_has_the_type_of_the_weights():
    image = keras.Input([4])
    model = keras.Model(image, keras.layers.Dense(3)(image) + keras.layers.Dense(3)(image))
    logits = mixed_precision.low_precision_copy(model)(tf.ones([1, 4]))
    assert logits.dtype == tf.float32
    inside = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, name="inside")])
    copy = mixed_precision.low_precision_copy(keras.Sequential([keras.Input([4]), inside]))
    assert copy.layers[0].layers[0].compute_dtype == "float32"


def test_a_model_that_cannot_be_copied_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UserError, match="'own' cannot be copied"):
        mixed_precision.low_precision_copy(Own(name="own"))


def test_weights_of_another_type_are_refused(float64):
    with pytest.raises(UserError, match=r"float32 weights, but .* are float64"):
        mixed_precision.low_precision_copy(tiny.network())


@pytest.mark.parametrize("name", methods.names())
def test_methods_that_do_not_go_with_it_say_why(name):
    reasons = {"vat": "noise", "adamixup": "calls parts", "manifold_mixup": "calls parts"}
    if name not in reasons:
        methods.check_precision(methods.make(name))
        return
    with pytest.raises(UserError, match=f"^bfloat16 does not go with method .*{reasons[name]}"):
        tiny.trainer(name, "none", mixed_bfloat16=True)


@pytest.mark.parametrize(("policy", "stays"), [("meta", False), ("beta", True)])
def test_products_are_not_rounded_where_lambda_is_learned(policy, stays, monkeypatch, capsys):
    settings = tf.config.experimental
    settings.enable_tensor_float_32_execution(True)
    try:
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
        for _ in range(2):
            tiny.trainer(policy=policy)
        assert settings.tensor_float_32_execution_enabled() is stays
    finally:
        settings.enable_tensor_float_32_execution(False)
    assert capsys.readouterr().err.count("TensorFloat-32 is off") == (not stays)


def first_step(method, policy, **options):
    """(gradient, weights and all, report) of the first step, outside of a graph."""
    pair = Pair(method, policy, norm="plain", momentum=0.0, weight_decay=0.0, **options)
    before = [np.asarray(v) for v in pair.trainer.model.trainable_variables]
    report = pair.step()
    after = [np.asarray(v) for v in pair.trainer.model.trainable_variables]
    change = [(old - new).ravel() / properties.RATE for old, new in zip(before, after, strict=True)]
    return np.concatenate(change), pair.weights(), report


@pytest.mark.parametrize(
    ("method", "policy"),
    [("supervised", tiny.EXACT), ("mean_teacher", "none")],
)
def test_with_a_copy_at_full_precision_a_step_is_the_plain_one(monkeypatch, method, policy):
    _, plain, _ = first_step(method, policy)
    full = functools.partial(mixed_precision.low_precision_copy, policy="float32")
    monkeypatch.setattr(mixed_precision, "low_precision_copy", full)
    _, copied, _ = first_step(method, policy, mixed_bfloat16=True)
    for expected, actual in zip(plain, copied, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_the_gradient_is_rounded_and_lambda_is_not():
    gradient, plain, report = first_step("supervised", tiny.EXACT)
    rounded, mixed, report_mixed = first_step("supervised", tiny.EXACT, mixed_bfloat16=True)
    error = np.linalg.norm(rounded - gradient) / np.linalg.norm(gradient)
    assert RESOLUTION / 16 < error < 4 * RESOLUTION
    assert report.lambdas.move.numpy().any()
    for expected, actual in zip(report.lambdas[:3], report_mixed.lambdas[:3], strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert [v.dtype for v in mixed] == [v.dtype for v in plain]


def test_in_a_meta_stage_of_bfloat16_lambda_alone_is_rounded():
    gradient, _, report = first_step("supervised", tiny.EXACT)
    moved, _, rounded = first_step("supervised", tiny.EXACT, meta_bfloat16=True)
    expected, actual = (each.lambdas.move.numpy() for each in (report, rounded))
    cosine = actual @ expected / np.linalg.norm(actual) / np.linalg.norm(expected)
    assert 0.99 < cosine < 1 - RESOLUTION**3
    np.testing.assert_array_equal(rounded.lambdas.start, report.lambdas.start)
    # The real step is as of float32, at other lambdas.
    assert 0 < np.linalg.norm(moved - gradient) < 0.1 * np.linalg.norm(gradient)


def test_a_run_in_bfloat16_on_two_replicas_learns_and_is_resumed(tmp_path):
    pair = Pair("supervised", "meta(refresh=2)", 2, mixed_bfloat16=True)
    start = pair.weights()
    properties.a_restored_run_repeats_its_next_steps(pair, tmp_path)
    pair.reset(start)
    properties.the_loss_falls(pair)
    assert pair.trainer.evaluate(tiny.test_set())["error"] == 0  # as the plain run's
    assert pair.graphs._train.experimental_get_tracing_count() == 1
