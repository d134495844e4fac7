import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_metamixup.errors import UserError

ROWS = [("supervised", "meta"), ("pseudo_label(threshold=0.6)", "meta")]


def five_steps(method, policy, replicas, model):
    trainer = tiny.trainer(method, policy, replicas=replicas, model=model, weight_decay=1e-2)
    streams = trainer._streams(**tiny.streams())
    trainer.prepare(streams, epoch_steps=3, steps=6)
    batches = trainer.batches(streams, 0)
    _, losses, rows = trainer.train(batches, 0, 5)
    return tiny.weights(trainer), losses, rows


@pytest.mark.parametrize("norm", [None, "synchronized"])
@pytest.mark.parametrize(("method", "policy"), ROWS)
def test_two_replicas_equal_one_device_in_float64(float64, method, policy, norm):
    model = functools.partial(tiny.network, norm=norm, dropout=0.2)
    one, losses, rows = five_steps(method, policy, 1, model)
    two, losses_two, rows_two = five_steps(method, policy, 2, model)
    for number, (expected, actual) in enumerate(zip(one, two, strict=True)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10, err_msg=str(number))
    np.testing.assert_allclose(losses_two, losses, atol=1e-10)
    np.testing.assert_allclose(rows_two, rows, atol=1e-6)
    if method.startswith("pseudo_label"):
        assert 0 < (rows[:, 5] == 0).mean() < 0.5  # some rows were rejected, some accepted


@pytest.mark.parametrize("norm", [None, "synchronized"])
@pytest.mark.parametrize(("method", "policy"), ROWS)
def test_two_replicas_equal_one_device_in_float32(method, policy, norm):
    model = functools.partial(tiny.network, norm=norm)
    one, *_ = five_steps(method, policy, 1, model)
    two, *_ = five_steps(method, policy, 2, model)
    for number, (expected, actual) in enumerate(zip(one, two, strict=True)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4, err_msg=str(number))


def test_evaluate_counts_every_image_once_on_any_number_of_replicas():
    pixels, labels = tiny.images(25, seed=1)
    results = []
    for replicas in (1, 2):
        trainer = tiny.trainer(policy="none", replicas=replicas)
        results.append(trainer.evaluate(tiny.test_set()))
    logits = trainer.network.predict(tf.constant(pixels)).numpy()
    wrong = 100 * np.mean(logits.argmax(axis=1) != labels)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -np.mean(log_softmax[np.arange(25), labels])
    for result in results:
        assert result == pytest.approx({"error": wrong, "loss": loss}, rel=1e-5)


def test_evaluate_tells_top_5_with_more_than_ten_classes():
    def model():
        image = keras.Input([12])
        return keras.Model(image, keras.layers.Activation("linear")(keras.layers.Dense(12)(image)))

    trainer = tiny.trainer(policy="none", model=model, preprocess=None)
    trainer.model.layers[1].set_weights([np.eye(12), np.zeros(12)])
    # Scores fall from class 0 to 11; labels 0, 4 and 5: one right, two within the first five.
    x = np.repeat(np.arange(12.0, 0, -1)[None], 3, axis=0).astype(np.float32)
    test = tf.data.Dataset.from_tensor_slices((x, np.array([0, 4, 5]))).batch(2)
    result = trainer.evaluate(test)
    assert result["error"] == pytest.approx(200 / 3)
    assert result["error_top5"] == pytest.approx(100 / 3)


def test_a_model_that_ends_in_a_softmax_is_refused():
    def model():
        image = keras.Input([4])
        return keras.Model(image, keras.layers.Dense(3, activation="softmax")(image))

    with pytest.raises(UserError, match="softmax"):
        tiny.trainer(model=model)


def test_data_that_a_method_or_policy_needs_is_asked_for(tmp_path):
    labelled = tiny.streams()["labelled"]
    with pytest.raises(UserError, match="needs `meta` data"):
        tiny.trainer("supervised", "meta").fit(labelled, steps=1, run_dir=tmp_path)
    with pytest.raises(UserError, match="needs `unlabelled` data"):
        tiny.trainer("pseudo_label", "none").fit(labelled, steps=1, run_dir=tmp_path)


def test_adam_makes_the_real_step_on_request():
    trainer = tiny.trainer("supervised", "none", optimizer="adam", learning_rate=0.01)
    assert isinstance(trainer.optimizer, keras.optimizers.Adam)
    before = [np.asarray(v) for v in trainer.model.trainable_variables]
    streams = trainer._streams(**tiny.streams())
    trainer.prepare(streams, epoch_steps=3, steps=3)
    trainer.train(trainer.batches(streams, 0), 0, 1)
    for old, new in zip(before, trainer.model.trainable_variables, strict=True):
        # Its first step is the learning rate, whatever the gradient.
        np.testing.assert_allclose(np.abs(new - old).max(), 0.01, rtol=1e-2)


def test_an_unknown_optimizer_is_told():
    with pytest.raises(UserError, match="must be one of sgd, adam"):
        tiny.trainer("supervised", "none", optimizer="rmsprop")


def test_weight_decay_is_coupled_and_can_spare_all_but_kernels():
    def model():
        return tiny.network(norm="plain")

    decays = tiny.trainer(model=model, weight_decay=0.5)._recipe.weight_decay
    assert decays == [0.5] * 6
    trainer = tiny.trainer(model=model, weight_decay=0.5, weight_decay_on="kernels")
    spared = [
        variable.path.split("/")[-1]
        for variable, decay in zip(
            trainer.model.trainable_variables, trainer._recipe.weight_decay, strict=True
        )
        if not decay
    ]
    assert sorted(spared) == ["beta", "bias", "bias", "gamma"]


def test_own_unlabelled_batches_need_no_labels_and_no_axis_of_views(tmp_path):
    pixels, labels = tiny.images()
    labelled = tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(8)
    unlabelled = tf.data.Dataset.from_tensor_slices(pixels).batch(8)
    trainer = tiny.trainer("pseudo_label(threshold=0.3)", "none")
    result = trainer.fit(labelled, unlabelled=unlabelled, steps=2, run_dir=tmp_path)
    assert result["history"][-1]["accepted"] > 0
    assert result["history"][-1]["pseudo_label_error"] is None


def test_a_short_last_batch_of_an_own_data_set_is_trained_on(tmp_path):
    pixels, labels = tiny.images(20)
    labelled = tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(8)  # 8, 8 and 4 rows
    trainer = tiny.trainer("supervised", "beta", row_groups=1)
    streams = trainer._streams(labelled, None, None)
    trainer.prepare(streams, epoch_steps=3, steps=6)
    _, losses, rows = trainer.train(trainer.batches(streams, 0), 0, 6)
    assert len(losses) == 6 and len(rows) == 40


@pytest.mark.parametrize(
    "labels",
    [np.zeros([8, 1], np.int64), np.zeros(8, np.float32), np.zeros([8, 2], np.float32)],
    ids=["column of integers", "vector of floats", "probabilities of two of three classes"],
)
def test_labels_of_another_shape_are_refused(tmp_path, labels):
    data = tf.data.Dataset.from_tensors((np.zeros([8, *tiny.SHAPE], np.uint8), labels))
    with pytest.raises(UserError, match="labels"):
        tiny.trainer("supervised", "none").fit(data, steps=1, run_dir=tmp_path)


def test_a_model_with_regularizers_is_refused():
    def model():
        image = keras.Input([4])
        return keras.Model(image, keras.layers.Dense(3, kernel_regularizer="l2")(image))

    with pytest.raises(UserError, match="weight_decay"):
        tiny.trainer(model=model)


def test_calls_of_any_length_build_the_graph_once():
    trainer = tiny.trainer("supervised", "none")
    streams = trainer._streams(**tiny.streams())
    trainer.prepare(streams, epoch_steps=3, steps=6)
    batches = trainer.batches(streams, 0)
    for first, count in ((0, 1), (1, 1), (2, 3)):
        trainer.train(batches, first, count)
    assert trainer._train.experimental_get_tracing_count() == 1


def test_momentum_and_decay_by_hand_over_two_steps(float64):
    # One weight per class on one constant pixel, and labels that the data set repeats.
    def model():
        image = keras.Input([1])
        return keras.Model(
            image, keras.layers.Dense(3, use_bias=False, kernel_initializer="ones")(image)
        )

    data = tf.data.Dataset.from_tensors((np.ones([4, 1]), np.zeros(4, np.int64)))
    trainer = tiny.trainer(
        "supervised", "none", model=model, preprocess=None, momentum=0.5, weight_decay=0.1
    )
    streams = trainer._streams(data, None, None)
    trainer.prepare(streams, epoch_steps=2, steps=6)
    trainer.train(trainer.batches(streams, 0), 0, 2)
    weight, velocity = np.ones(3), np.zeros(3)
    for _ in range(2):
        softmax = np.exp(weight) / np.exp(weight).sum()
        velocity = 0.5 * velocity - 0.1 * (softmax - [1, 0, 0] + 0.1 * weight)
        weight = weight + velocity
    np.testing.assert_allclose(trainer.model.get_weights()[0][0], weight, rtol=1e-6)


def test_agreement_is_told_in_either_precision(float64):
    trainer = tiny.trainer("supervised", "meta")
    trainer.prepare(trainer._streams(**tiny.streams()), epoch_steps=3, steps=6)
    assert -1 <= trainer.agreement(0) <= 1
