import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tests.outcome import result_of
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import scale
from tf_metamixup.runs import results
from tf_metamixup.runs.summary import summary
from tf_metamixup.training.diagnostics import Diagnostics


def test_two_replicas_equal_one_device_in_float32():
    """In float64 tests/conformance compares all methods and policies."""
    found = []
    for replicas in (1, 2):
        trainer = tiny.trainer(
            *("pseudo_label(threshold=0.6)", tiny.EXACT),
            replicas=replicas,
            model=functools.partial(tiny.network, norm="synchronized"),
            weight_decay=1e-2,
        )
        graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
        _, _, rows = graphs.train(graphs.batches(0), 0, 5)
        found.append(tiny.weights(trainer))
    for number, (expected, actual) in enumerate(zip(*found, strict=True)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4, err_msg=str(number))
    assert 0 < (rows[:, 5] == 0).mean() < 0.5  # some rows were rejected, some accepted


def test_a_mixture_is_what_the_step_then_trains_on_and_changes_nothing():
    trainer = tiny.trainer(policy=tiny.EXACT)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    before = tiny.weights(trainer)
    mixture = Diagnostics(graphs).mixture(next(graphs.batches(2)), 2)
    for old, new in zip(before, tiny.weights(trainer), strict=True):
        np.testing.assert_array_equal(new, old)
    _, _, rows = graphs.train(graphs.batches(2), 2, 1)
    classes = mixture.examples.y.numpy().argmax(axis=1)
    np.testing.assert_allclose(mixture.lam, rows[:, 0], atol=1e-6)
    np.testing.assert_array_equal(classes, rows[:, 3])
    np.testing.assert_array_equal(classes[mixture.partner], rows[:, 4])


@pytest.mark.parametrize(
    ("method", "replicas"), [("supervised", 1), ("pseudo_label(threshold=0.6)", 2)]
)
def test_a_sample_is_of_the_rows_that_the_last_step_trained_on(method, replicas):
    trainer = tiny.trainer(method, replicas=replicas)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    assert trainer.evaluator.mixed(graphs.sample) is None
    _, _, rows = graphs.train(graphs.batches(0), 0, 3)
    before = tiny.weights(trainer)
    sample, probabilities = trainer.evaluator.mixed(graphs.sample)
    for old, new in zip(before, tiny.weights(trainer), strict=True):
        np.testing.assert_array_equal(new, old)
    # The first replica's rows of the last of three steps.
    last = np.split(np.split(rows, 3)[-1], replicas)[0]
    np.testing.assert_array_equal(sample.lam, last[:, 0])
    np.testing.assert_array_equal(sample.y_i.argmax(axis=1), last[:, 3])
    np.testing.assert_array_equal(sample.y_j.argmax(axis=1), last[:, 4])
    np.testing.assert_array_equal(sample.accepted, last[:, 5])
    assert sample.guessed.sum() == (len(last) / 2 if method.startswith("pseudo_label") else 0)
    lam = sample.lam[:, None, None, None]
    np.testing.assert_allclose(sample.x, lam * sample.x_i + (1 - lam) * sample.x_j, atol=1e-6)
    logits = trainer.network.infer(tf.constant(sample.x))
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits), atol=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_trainers_one_after_the_other_are_not_taken_for_one_that_is_traced_again(caplog, replicas):
    images = np.zeros([7, *tiny.SHAPE], np.uint8)
    with caplog.at_level("WARNING", "tensorflow"):
        for seed in range(6):
            trainer = tiny.trainer(replicas=replicas, seed=seed)
            graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
            batches = graphs.batches(0)
            graphs.trace(batches)
            graphs.train(batches, 0, 1)
            assert graphs.is_finite()
            trainer.evaluator.mixed(graphs.sample)
            trainer.predict(images)
    assert "retracing" not in caplog.text


def test_evaluate_counts_every_image_once_on_any_number_of_replicas():
    pixels, labels = tiny.images(25, seed=1)
    results = []
    for replicas in (1, 2):
        trainer = tiny.trainer(policy="none", replicas=replicas)
        results.append(trainer.measure(tiny.test_set()))
    logits = trainer.network.predict(tf.constant(pixels)).numpy()
    wrong = 100 * np.mean(logits.argmax(axis=1) != labels)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -np.mean(log_softmax[np.arange(25), labels])
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    for result in results:
        assert result.confusion.tolist() == confusion.tolist()
        assert result.bins[:, 0].sum() == 25
        assert result.error == pytest.approx(wrong)
        assert result.loss == pytest.approx(loss, rel=1e-5)
    assert results[0].ece == pytest.approx(results[1].ece, rel=1e-5)
    assert trainer.evaluate(tiny.test_set()) == results[1].scores


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
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=3)
    graphs.train(graphs.batches(0), 0, 1)
    for old, new in zip(before, trainer.model.trainable_variables, strict=True):
        # Its first step is the learning rate, whatever the gradient.
        np.testing.assert_allclose(np.abs(new - old).max(), 0.01, rtol=1e-2)


def test_an_unknown_optimizer_or_a_setting_out_of_range_is_reported():
    for options, allowed in [
        ({"optimizer": "rmsprop"}, "must be one of sgd, adam"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0 must be a number of at least 0"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1' must be a number"),
        ({"learning_rate": lambda step: 0.1}, "or a keras.optimizers.schedules"),
        ({"momentum": 1.5}, r"momentum=1.5 must lie in \[0, 1\)"),
        ({"weight_decay": -1}, "weight_decay=-1 must be a number of at least 0"),
        ({"seed": 0.5}, "seed=0.5 must be a whole number"),
        ({"seed": 2**70}, "must be less than 4,294,967,296"),
        ({"row_groups": -2}, "row_groups=-2 must be at least 1"),
        ({"meta_bfloat16": True}, "meta_bfloat16 with policy none has no effect"),
        ({"unfreeze_at": 2}, r"unfreeze_at=2 must lie in \(0, 1\)"),
        ({"weight_decay_on": "none"}, "must be all or kernels"),
    ]:
        with pytest.raises(UserError, match=allowed):
            tiny.trainer("supervised", "none", **options)


@pytest.mark.parametrize("name", ["method", "policy"])
def test_a_method_or_policy_of_another_kind_is_reported(name):
    with pytest.raises(UserError, match=f"{name}=None must be a name or a {name.title()}"):
        tiny.trainer(**{name: None})


def test_numbers_of_numpy_are_taken_and_recorded(tmp_path):
    trainer = tiny.trainer("supervised", "none", seed=np.int64(3), learning_rate=np.float32(0.5))
    plan = {"steps": np.int64(2), "epoch_steps": np.int32(1), "log_every": np.int64(1)}
    streams = {"labelled": tiny.streams()["labelled"], "labels_used": np.int64(30)}
    result = trainer.fit(**streams, **plan, run_dir=tmp_path, verbose=0)
    assert result_of(tmp_path) == result
    assert (result["labels_used"], result["config"]["seed"], result["epochs"]) == (30, 3, 2)


def own_batches(rows, scale=1.0):
    """Batches whose size is not known before they are read."""
    pixels, labels = tiny.images()
    pixels = pixels * np.float32(scale / 255)
    return tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(rows)


@pytest.mark.parametrize(
    ("rows", "groups", "message"),
    [(1, 1, "a batch of 1 .* has no pairs to mix"), (8, 3, "evenly into 3 row groups.* 8")],
)
def test_first_batches_that_cannot_be_mixed_are_reported(tmp_path, rows, groups, message):
    trainer = tiny.trainer(policy="beta", row_groups=groups, preprocess=None)
    with pytest.raises(UserError, match=message):
        trainer.fit(own_batches(rows), steps=2, run_dir=tmp_path, verbose=0)


def test_images_of_another_scale_than_was_trained_on_are_warned_of(tmp_path):
    trainer = tiny.trainer(policy="none", preprocess=None)
    trainer.fit(own_batches(8), steps=1, run_dir=tmp_path, verbose=0)
    with pytest.warns(UserWarning, match="the `test` images range from"):
        trainer.evaluate(own_batches(8, scale=255))
    images = next(iter(own_batches(8, scale=255)))[0]
    with pytest.warns(UserWarning, match="the `predicted` images range from"):
        trainer.predict(images)
    assert trainer.predict(images[:0]).shape == (0, tiny.CLASSES)
    with pytest.raises(UserError, match=r"`predicted` data must have the model's input shape"):
        trainer.predict(images[0])
    with pytest.raises(UserError, match="`predicted` data, a pixel is NaN"):
        trainer.predict(images * np.nan)


def test_weight_decay_is_coupled_and_can_spare_all_but_kernels():
    def model():
        return tiny.network(norm="plain")

    decays = tiny.trainer(model=model, weight_decay=0.5).recipe.weight_decay
    assert decays == [0.5] * 6
    trainer = tiny.trainer(model=model, weight_decay=0.5, weight_decay_on="kernels")
    spared = [
        variable.path.split("/")[-1]
        for variable, decay in zip(
            trainer.model.trainable_variables, trainer.recipe.weight_decay, strict=True
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
    graphs = trainer.graphs(labelled=labelled, epoch_steps=3, steps=6)
    _, losses, rows = graphs.train(graphs.batches(0), 0, 6)
    assert len(losses) == 6 and len(rows) == 40


def own(images, labels, batch=8):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch, drop_remainder=True)


GOOD = np.zeros([16, *tiny.SHAPE], np.float32), np.zeros(16, np.int64)


@pytest.mark.parametrize(
    ("harm", "reported"),
    [
        (lambda x, y: x.__setitem__((3, 2, 2, 0), np.nan), "a pixel is NaN or infinite"),
        (
            lambda x, y: y.__setitem__(3, 3),
            r"a label is not one of the 3 classes, 0 to 2; they go from, to: 0 3",
        ),
        (lambda x, y: y.__setitem__(3, -1), "a label is not one of the 3 classes"),
    ],
    ids=["NaN", "too large", "negative"],
)
def test_pixels_and_labels_that_are_none_are_reported(tmp_path, harm, reported):
    images, labels = (array.copy() for array in GOOD)
    harm(images, labels)
    trainer = tiny.trainer("supervised", "none", preprocess=None)
    with pytest.raises(UserError, match=reported) as raised:
        trainer.fit(own(images, labels), steps=2, run_dir=tmp_path)
    assert "\n" not in str(raised.value)
    if "label" in reported:
        with pytest.raises(UserError, match=reported):
            trainer.evaluate(own(images, labels))


@pytest.mark.parametrize("place", [0, -1], ids=["first batch", "last batch"])
def test_a_wrong_validation_label_is_reported_as_one_of_validation(tmp_path, place):
    images, labels = GOOD[0], GOOD[1].copy()
    labels[place] = 7
    trainer = tiny.trainer("supervised", "none", preprocess=None)
    with pytest.raises(UserError, match="in the `validation` data, a label is not one of"):
        trainer.fit(own(*GOOD), validation=own(images, labels), steps=2, run_dir=tmp_path)


def test_batches_without_pairs_are_refused_where_rows_are_mixed(tmp_path):
    with pytest.raises(UserError, match="a batch of 1 in 1 row group has no pairs to mix"):
        tiny.trainer("supervised", "beta", row_groups=1).fit(
            own(*GOOD, batch=1), steps=1, run_dir=tmp_path / "beta"
        )
    trainer = tiny.trainer("supervised", "none", row_groups=1)
    assert trainer.fit(own(*GOOD, batch=1), steps=1, run_dir=tmp_path / "none")["steps"] == 1


def test_a_model_with_regularizers_is_refused():
    def model():
        image = keras.Input([4])
        return keras.Model(image, keras.layers.Dense(3, kernel_regularizer="l2")(image))

    with pytest.raises(UserError, match="weight_decay"):
        tiny.trainer(model=model)


def test_momentum_and_decay_by_hand_over_a_drop_of_the_rate(float64):
    # One weight per class on one constant pixel, and labels that the data set repeats.
    def model():
        image = keras.Input([1])
        return keras.Model(
            image, keras.layers.Dense(3, use_bias=False, kernel_initializer="ones")(image)
        )

    data = tf.data.Dataset.from_tensors((np.ones([4, 1]), np.zeros(4, np.int64)))
    trainer = tiny.trainer(
        *("supervised", "none"),
        model=model,
        learning_rate=keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.01]),
        preprocess=None,
        momentum=0.5,
        weight_decay=0.1,
    )
    graphs = trainer.graphs(labelled=data, epoch_steps=2, steps=6)
    graphs.train(graphs.batches(0), 0, 4)
    weight, velocity = np.ones(3), np.zeros(3)
    for rate in (0.1, 0.1, 0.01, 0.01):
        softmax = np.exp(weight) / np.exp(weight).sum()
        velocity = 0.5 * velocity + softmax - [1, 0, 0] + 0.1 * weight
        weight = weight - rate * velocity
    np.testing.assert_allclose(trainer.model.get_weights()[0][0], weight, rtol=1e-6)


def test_agreement_is_reported_in_either_precision(float64):
    trainer = tiny.trainer("supervised", "meta")
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    assert -1 <= Diagnostics(graphs).agreement(0) <= 1


def test_a_gradient_looked_at_between_refreshes_has_features_all_the_same():
    trainer = tiny.trainer("supervised", "meta")
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    assert 3 % trainer.policy.refresh
    first, again = (Diagnostics(graphs).lambda_gradient(next(graphs.batches(3)), 3) for _ in "ab")
    assert np.abs(first).max() > 0
    np.testing.assert_array_equal(first, again)


def test_a_learning_rate_that_is_not_given_follows_the_optimizer():
    for optimizer, rate in (("sgd", 0.1), ("adam", 0.001)):
        trainer = tmm.Trainer(tiny.unnamed(), policy="none", optimizer=optimizer)
        assert float(trainer.learning_rate(0)) == pytest.approx(rate)


def test_runs_on_other_own_data_are_not_taken_together(tmp_path):
    x, y = np.random.default_rng(0).uniform(-1, 1, (16, 6, 6, 1)).astype(np.float32), [0, 1, 2, 0]
    data = [tf.data.Dataset.from_tensors((part, y)) for part in np.split(x, 4)]
    found = []
    for seed, (test, named) in enumerate([(0, {}), (0, {}), (1, {}), (0, {"dataset": "last"})]):
        trainer = tiny.trainer("supervised", "none", seed=seed)
        folder = tmp_path / str(seed)
        found.append(trainer.fit(data[3], test=data[test], steps=1, run_dir=folder, **named))
    assert result_of(tmp_path / "0")["data"] == found[0]["data"]
    rows = results.rows(results.read([str(tmp_path)]))
    assert [sorted(row.seeds) for row in rows] == [[0, 1], [2], [3]]
    assert rows[2].data == "last"  # the name, not a default of `select`
    # Recorded, the default would part these runs from those of earlier versions.
    assert not {"select", "patience"} & found[3]["config"].keys()
    assert len({row.data for row in rows}) == 3


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_variable_that_is_not_finite_is_noticed(replicas):
    trainer = tiny.trainer("supervised", "none", replicas=replicas, model=tiny.unnamed)
    graphs = trainer.graphs(**tiny.streams(), epoch_steps=3, steps=6)
    assert graphs.is_finite()
    for variable in (trainer.model.variables[0], trainer.optimizer.variables[-1]):
        value = np.asarray(variable)
        variable.assign(np.full(value.shape, np.nan))
        assert not graphs.is_finite()
        variable.assign(value)
    assert graphs.is_finite()


@pytest.mark.parametrize(
    ("kind", "preprocess", "named"),
    [(np.float32, None, True), (np.uint8, None, True), (np.uint8, scale, False)],
    ids=["raw floats", "raw integers", "scaled by preprocess"],
)
def test_what_diverges_on_raw_pixels_names_their_range(tmp_path, kind, preprocess, named):
    images, labels = tiny.images(16)
    trainer = tiny.trainer(
        *("supervised", "none"), preprocess=preprocess, model=tiny.unnamed, learning_rate=1e38
    )
    with pytest.raises(UserError, match=r"step [12]; there is no.*lower learning rate") as raised:
        trainer.fit(own(images.astype(kind), labels, 16), steps=3, run_dir=tmp_path)
    reported = f"values from {images.min()} to {images.max()}: scale them"
    assert (reported in str(raised.value)) is named


@pytest.mark.parametrize("replicas", [1, 2])
def test_predict_gives_the_probabilities_of_every_image_in_order(replicas):
    trainer = tiny.trainer(replicas=replicas)
    images, _ = tiny.images(7)
    found = trainer.predict(images)
    logits = trainer.model(scale(images), training=False)
    np.testing.assert_allclose(found, tf.nn.softmax(logits), rtol=1e-5)


@pytest.mark.parametrize("images", [None, [[1], [1, 2]], tf.data.Dataset.range(2)])
def test_predict_says_what_it_takes(images):
    with pytest.raises(UserError, match=r"predict\(\) takes images \[N, H, W, C\], not a "):
        tiny.trainer().predict(images)


def test_a_run_ends_with_its_summary_unless_it_is_to_be_quiet(tmp_path, capsys):
    data = own(*GOOD)

    def fit(**options):
        trainer = tiny.trainer("supervised", "none")
        result = trainer.fit(data, test=tiny.test_set(), steps=1, run_dir=tmp_path, **options)
        return result, capsys.readouterr()

    _, quiet = fit(verbose=0)
    assert (quiet.out, quiet.err) == ("", "")
    result, told = fit()
    # Floats, which image files do not hold.
    export = "trainer.export({!r}, from_pixels=FUNCTION)"
    assert told.out == f"{summary(result, tmp_path, export=export)}\n"
    assert fit(summarize=False)[1].out == ""
