"""The step against finite differences, hand-worked cases, and its own promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.methods.by_hand import clock
from tf_metamixup import methods, mixing, models, policies
from tf_metamixup.core.rng import Draws
from tf_metamixup.methods.batch import Batch
from tf_metamixup.mixing import Mixture
from tf_metamixup.models.network import Network
from tf_metamixup.training.diagnostics import agreement
from tf_metamixup.training.feature_cache import FeatureCache
from tf_metamixup.training.step import Recipe, meta_task, train_step

ETA = 0.1
DRAWS = Draws.at(0, tf.constant(0))


def batch(dtype=tf.float64, rows=6, soft=False, shape=tiny.SHAPE):
    generator = np.random.default_rng(0)

    def x(*lead):
        return tf.constant(generator.normal(size=(*lead, *shape)), dtype)

    labels = tf.constant(np.arange(rows) % tiny.CLASSES)
    y = tf.one_hot(labels, tiny.CLASSES, dtype=dtype)
    if soft:
        y = tf.nn.softmax(tf.constant(generator.normal(size=(rows, tiny.CLASSES)), dtype))
    return Batch(x(rows), y, x(rows, 1), labels, x(rows), tf.roll(y, 1, axis=0))


def recipe(method="supervised", policy=tiny.EXACT, *, norm=None, dropout=0.0, model=None):
    model = model or tiny.network(norm=norm, dropout=dropout)
    optimizer = keras.optimizers.SGD(ETA, momentum=0.9)
    optimizer.build(model.trainable_variables)
    return Recipe(
        network=Network(model),
        method=methods.make(method),
        policy=policies.make(policy),
        optimizer=optimizer,
        weight_decay=[0.0] * len(model.trainable_variables),
        groups=1,
    )


def task_of(recipe, batch):
    theta = recipe.network.theta
    forward = recipe.network.forward(theta, DRAWS)
    examples = recipe.method.examples(forward, batch, clock(), 1)
    partner = mixing.pairs(examples, DRAWS)
    return meta_task(recipe, theta, examples, partner, batch, clock(), DRAWS), examples


def finite_differences(recipe, task, z, step=1e-5, places=None):
    """Central differences of the meta loss after the virtual step, in each z_i.

    The step touches the weights at `places`, by default all.
    """
    places = range(len(task.theta)) if places is None else places

    def meta_loss(z):
        with tf.GradientTape() as tape:
            tape.watch(task.theta)
            loss = task.inner(task.theta, recipe.policy.initial_lambda(z))
        gradients = tape.gradient(loss, task.theta)
        theta = list(task.theta)
        for place in places:
            theta[place] = theta[place] - ETA * gradients[place]
        return task.outer(theta)

    bumps = step * tf.eye(len(z), dtype=z.dtype)
    return np.array([(meta_loss(z + b) - meta_loss(z - b)) / (2 * step) for b in bumps])


@pytest.mark.parametrize("method", ["supervised", "pseudo_label(threshold=0.3)"])
@pytest.mark.parametrize("parametrisation", ["logit", "raw"])
def test_lambda_gradient_equals_finite_differences(float64, method, parametrisation):
    made = recipe(
        method, f"meta(estimator='nested', parametrisation='{parametrisation}')", dropout=0.3
    )
    task, _ = task_of(made, batch(soft=True))
    z = made.policy.initial_logits(task, DRAWS)
    gradient = made.policy.gradient(task, z).numpy()
    expected = finite_differences(made, task, z)
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["supervised", "pseudo_label(threshold=0.3)", "mixmatch"])
def test_vjp_gives_the_gradient_of_nested(float64, method):
    views = methods.make(method).views or 1
    gradients = []
    for estimator in ("nested", "vjp"):
        made = recipe(method, f"meta(estimator='{estimator}')", norm="plain", dropout=0.3)
        data = batch(soft=True)
        task, _ = task_of(made, data._replace(u=tf.repeat(data.u, views, axis=1)))
        gradients.append(
            made.policy.gradient(task, made.policy.initial_logits(task, DRAWS)).numpy()
        )
    assert np.abs(gradients[0]).max() > 1e-6
    np.testing.assert_allclose(*gradients, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    "architecture", ["cnn3(width=4, batch_norm=True)", "wrn(depth=10, width=1)"]
)
def test_lambda_gradient_is_exact_with_batch_norm(float64, architecture):
    shape = (8, 8, 1)
    made = recipe(model=models.make(architecture, shape, tiny.CLASSES))
    task, _ = task_of(made, batch(soft=True, shape=shape))
    z = made.policy.initial_logits(task, DRAWS)
    expected = finite_differences(made, task, z)
    gradient = made.policy.gradient(task, z).numpy()
    assert np.linalg.norm(gradient - expected) < 1e-6 * np.linalg.norm(expected)


def test_rejected_rows_have_zero_lambda_gradient_and_accepted_rows_have_not(float64):
    made = recipe("pseudo_label(threshold=0.5)")
    task, examples = task_of(made, batch())
    accepted = examples.accepted.numpy()
    assert 6 < accepted.sum() < 12  # six labelled rows, and some of the six unlabelled ones
    gradient = made.policy.gradient(task, made.policy.initial_logits(task, DRAWS)).numpy()
    assert (gradient[~accepted] == 0).all()
    partners = mixing.pairs(examples, DRAWS).numpy()
    mixed = accepted & (partners != np.arange(12))
    assert (gradient[mixed] != 0).all()


def test_a_batch_with_nothing_accepted_is_finite():
    made = recipe("pseudo_label(threshold=1.0)", norm="plain")
    report = train_step(made, batch(tf.float32), clock(), DRAWS)
    assert not report.examples.accepted[6:].numpy().any()
    assert np.isfinite(report.lambdas.value).all()
    assert np.isfinite(report.lambdas.move).all()
    for variable in made.network.model.variables:
        assert np.isfinite(variable).all()


@pytest.mark.parametrize("method", ["supervised", "pseudo_label(threshold=0.3)"])
def test_meta_stage_leaves_every_variable_bit_equal(method):
    made = recipe(method, norm="plain", dropout=0.3)
    train_step(made, batch(tf.float32), clock(), DRAWS)  # momentum and statistics are not zero

    def state():
        return [np.array(v) for v in (*made.network.model.variables, *made.optimizer.variables)]

    before = state()
    task, _ = task_of(made, batch(tf.float32))
    lambdas = made.policy(task, DRAWS)
    assert np.abs(lambdas.move).max() > 0
    agreement(made, batch(tf.float32), clock(), DRAWS)
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_moving_statistics_come_from_the_one_mixed_pass():
    made = recipe(norm="plain")
    data = batch(tf.float32)
    forward = made.network.forward(made.network.theta, DRAWS)
    report = train_step(made, data, clock(), DRAWS)
    mixed = Mixture(report.examples, report.partner, report.lambdas.value)
    forward(mixed.x)
    expected = [
        forward.state[id(variable)]
        for variable in made.network.model.non_trainable_variables
        if "moving" in variable.path
    ]
    actual = [v for v in made.network.model.non_trainable_variables if "moving" in v.path]
    # `forward` still starts from the statistics after the step, which are momentum times the old.
    assert len(actual) == 2
    for value, variable in zip(expected, actual, strict=True):
        fresh = (np.asarray(value) - 0.9 * np.asarray(variable)) / 0.1
        start = 0.0 if "mean" in variable.path else 1.0
        np.testing.assert_allclose(variable, 0.9 * start + 0.1 * fresh, rtol=1e-4, atol=1e-6)


def test_real_step_is_sgd_from_theta_on_the_better_mix(float64):
    made = recipe()._replace(weight_decay=[0.01] * 4)
    data = batch(soft=True)
    theta = [tf.identity(w) for w in made.network.theta]
    report = train_step(made, data, clock(), DRAWS)
    mixed = Mixture(report.examples, report.partner, report.lambdas.value)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        logits = made.network.forward(theta, DRAWS)(mixed.x)
        loss = -tf.reduce_mean(tf.reduce_sum(mixed.y * tf.nn.log_softmax(logits), -1))
    gradients = tape.gradient(loss, theta)
    for weight, gradient, new in zip(theta, gradients, made.network.theta, strict=True):
        np.testing.assert_allclose(new, weight - ETA * (gradient + 0.01 * weight), atol=1e-12)
    loss_sum, count = report.metrics["train_loss"]
    np.testing.assert_allclose(loss_sum / count, loss)


def test_a_lambda_of_one_is_training_without_mixup(float64):
    mixed, plain = recipe(policy="fixed(1.0)"), recipe(policy="none")
    for made in (mixed, plain):
        train_step(made, batch(), clock(), DRAWS)
    for left, right in zip(mixed.network.theta, plain.network.theta, strict=True):
        np.testing.assert_array_equal(left, right)


def test_cached_features_give_the_gradient_of_the_whole_meta_set_and_a_step_of_the_head(
    float64,
):
    x = image = keras.Input(tiny.SHAPE)
    x = keras.layers.Conv2D(3, 3, activation="tanh")(x)
    x = keras.layers.Dense(4, activation="tanh", name="dense")(keras.layers.Flatten()(x))
    model = keras.Model(image, keras.layers.Dense(tiny.CLASSES, name="logits")(x))
    network = Network(model)
    pixels, labels = tiny.images(15)
    meta = tf.cast(pixels, tf.float64) / 255
    cache = FeatureCache(network, meta, tf.constant(labels), tiny.CLASSES)
    cache.refresh(DRAWS)
    features, y_meta = cache.rows()
    policy = policies.make("meta(estimator='cached')")
    made = recipe()._replace(network=network, policy=policy, feature_cache=cache)
    whole = batch(soft=True)._replace(x_meta=meta, y_meta=y_meta)
    task, _ = task_of(made, whole._replace(x_meta=features))
    assert task.head == (2, 3, 4, 5)
    z = made.policy.initial_logits(task, DRAWS)
    gradient = made.policy.gradient(task, z).numpy()
    plain, _ = task_of(made._replace(feature_cache=None), whole)
    expected = finite_differences(made, plain, z, places=task.head)
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    exact = finite_differences(made, plain, z)
    assert np.abs(gradient - exact).max() > 1e-3 * np.abs(exact).max()


def test_equal_halves_of_the_meta_batch_agree_fully():
    made = recipe()
    data = batch(tf.float32)
    half = slice(0, 3)
    data = data._replace(
        x_meta=data.x_meta[half],
        y_meta=data.y_meta[half],
    )
    doubled = data._replace(
        x_meta=tf.concat([data.x_meta, data.x_meta], 0),
        y_meta=tf.concat([data.y_meta, data.y_meta], 0),
    )
    assert float(agreement(made, doubled, clock(), DRAWS)) == pytest.approx(1, abs=1e-6)
    assert float(agreement(made, batch(tf.float32), clock(), DRAWS)) < 0.999


@pytest.mark.parametrize(("progress", "mixed"), [(0.79, True), (0.8, False), (0.99, False)])
@pytest.mark.parametrize("policy", ["beta(per_sample=True)", "cutmix", tiny.EXACT])
def test_mixing_stops_at_its_share_of_the_run(policy, progress, mixed):
    made = recipe(policy=policy)._replace(mix_until=0.8)
    at = clock(progress=progress)
    lambdas = train_step(made, batch(tf.float32), at, DRAWS).lambdas
    plain = train_step(recipe(policy=policy), batch(tf.float32), at, DRAWS).lambdas
    if not mixed:
        plain = [tf.ones(6), tf.ones(6), tf.zeros(6)]
        assert lambdas.pixels is None or (lambdas.pixels.numpy() == 1).all()
    for found, expected in zip(lambdas[:3], plain[:3], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4)
