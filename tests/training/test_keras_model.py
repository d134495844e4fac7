import contextlib
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import ArrayStream
from tf_metamixup.training.keras_callbacks import StagnationCallback
from tf_metamixup.training.optimizer import SGD

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PIXELS, LABELS = tiny.images(48)
PIXELS = PIXELS.astype(np.float32) / 127.5 - 1
KEEPING = "meta(refresh=2)"
TRAIN, META = (PIXELS[:24], LABELS[:24]), (PIXELS[24:44], LABELS[24:44])


def batches(rows=8):
    return tf.data.Dataset.from_tensor_slices(TRAIN).batch(rows)


def network():
    return tiny.network(norm="plain", dropout=0.2)


def scope(replicas):
    return tiny.strategy(replicas).scope() if replicas > 1 else contextlib.nullcontext()


def mixing(policy="meta", method="supervised", *, replicas=1, model=network, **options):
    if policy.startswith("meta"):
        options = {"meta": META} | options
    with scope(replicas):
        return tmm.MixUpModel(model(), policy, method, **options)


def compiled(*arguments, optimizer="sgd", loss=SPARSE, metrics=None, steps=1, **options):
    model = mixing(*arguments, **options)
    with model.distribute_strategy.scope():
        optimizer = optimizer() if callable(optimizer) else optimizer
        model.compile(optimizer, loss, metrics, steps_per_execution=steps)
    return model


def by_trainer(policy, replicas, steps, rate):
    """The weights after so many steps of `Trainer` on the same batches."""
    trainer = tiny.trainer(
        policy=policy,
        replicas=replicas,
        model=network,
        learning_rate=rate,
        weight_decay=0.0,
        row_groups=replicas,
        preprocess=None,
        seed=5,
    )
    held = ArrayStream(*META, np.arange(20), batch_size=8, seed=5, purpose="meta")
    graphs = trainer.graphs(labelled=batches(), meta=held, epoch_steps=3, steps=steps)
    graphs.train(graphs.batches(0), 0, steps)
    return trainer.model.get_weights()


@pytest.mark.parametrize(
    ("policy", "replicas", "together"),
    [(tiny.EXACT, 1, 4), (KEEPING, 2, 1)],
)
def test_fit_takes_the_steps_of_the_trainer(policy, replicas, together):
    def rate():
        return keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.2, 0.05])

    with scope(replicas):
        optimizer = SGD(rate(), momentum=0.9)
    model = compiled(policy, replicas=replicas, seed=5, optimizer=optimizer, steps=together)
    before = model.model.get_weights()
    history = model.fit(batches(), epochs=2, verbose=0).history
    assert set(history) == {"loss", "lambda_mean", "lambda_move"}
    after, expected = model.model.get_weights(), by_trainer(policy, replicas, 6, rate())
    assert np.abs(after[0] - before[0]).max() > 1e-2
    for number, (actual, other) in enumerate(zip(after, expected, strict=True)):
        np.testing.assert_allclose(actual, other, atol=1e-6, err_msg=str(number))


def test_callbacks_validation_and_saving_are_those_of_keras(tmp_path):
    # Labels as keras.datasets has them; the last batch is short.
    images, labels = TRAIN[0], TRAIN[1][:, None]
    rates, path = [], tmp_path / "best.keras"

    def rate(epoch, _):
        rates.append(float(model.optimizer.learning_rate))
        return 0.1 / (1 + epoch)

    model = compiled(metrics=["accuracy"], optimizer=keras.optimizers.AdamW(weight_decay=0.01))
    callbacks = [
        keras.callbacks.LearningRateScheduler(rate),
        keras.callbacks.ModelCheckpoint(path, monitor="val_accuracy"),
        keras.callbacks.EarlyStopping("val_loss", restore_best_weights=True),
        keras.callbacks.TensorBoard(tmp_path),
    ]
    held = META[0], META[1][:, None]
    options = {"validation_data": held, "callbacks": callbacks, "verbose": 0, "batch_size": 9}
    history = model.fit(images, labels, epochs=2, **options).history
    assert rates[1:] == pytest.approx([0.1]) and int(model.optimizer.iterations) == 6
    assert set(history) >= {"loss", "lambda_mean", "val_loss", "val_accuracy"}
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(*held, verbose=0)[0])
    saved = keras.models.load_model(path)
    np.testing.assert_allclose(saved(META[0]), model.predict(META[0], verbose=0), atol=1e-5)
    # The model that was given has the weights.
    np.testing.assert_allclose(model.model(META[0]), saved(META[0]), atol=1e-5)


@pytest.mark.parametrize("row", [("meta(refresh=4)",), ("none", "adamixup")])
def test_a_run_that_keras_backs_up_goes_on_with_the_same_weights(tmp_path, row):
    # The backup is of step 3, which goes on with the features of step 0.
    def fit(epochs, folder):
        model = compiled(*row, model=tiny.network, optimizer=keras.optimizers.Adam())
        backup = keras.callbacks.BackupAndRestore(tmp_path / folder, delete_checkpoint=False)
        model.fit(batches(), epochs=epochs, callbacks=[backup], verbose=0)
        return model.get_weights()

    whole = fit(2, "whole")
    fit(1, "stopped")
    for one, other in zip(whole, fit(2, "stopped"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_optimizer_that_accumulates_gradients_is_refused():
    adam = keras.optimizers.Adam(gradient_accumulation_steps=2)
    with pytest.raises(UserError, match="gradient_accumulation_steps=2 is not supported"):
        compiled("beta", optimizer=adam, model=tiny.unnamed)


def test_validation_labels_that_are_no_classes_are_reported():
    model = compiled("none", model=tiny.unnamed)
    with pytest.raises(UserError, match="`validation` data, a label is not one of the 3 classes"):
        model.fit(batches(), validation_data=(META[0], META[1] + 1), verbose=0)


def test_a_meta_set_that_nothing_reads_is_warned_of():
    with pytest.warns(UserWarning, match="does not use `meta` data"):
        tmm.MixUpModel(tiny.unnamed(), "beta", meta=META)


def test_an_optimizer_from_outside_the_scope_is_reported():
    with pytest.raises(UserError, match="scope of the same"):
        mixing("none", replicas=2, model=tiny.unnamed).compile(keras.optimizers.SGD(), SPARSE)


def test_one_hot_labels_train_as_integers_do():
    hot = tf.data.Dataset.from_tensor_slices((TRAIN[0], np.eye(3, dtype=np.int32)[TRAIN[1]]))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    weights = []
    for data, each in ((batches(), SPARSE), (hot.batch(8), loss)):
        model = compiled("beta", loss=each, seed=1)
        model.fit(data, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_virtual_step_follows_the_learning_rate_of_the_moment():
    # Without momentum a rate of 0 changes no weight; the literal step of lambda is then 0 too.
    model = compiled("meta(gradient_scale='sum')", optimizer=keras.optimizers.SGD(0.5))
    moved = model.fit(batches(), verbose=0).history["lambda_move"][0]
    model.optimizer.learning_rate = 0.0
    still = model.fit(batches(), verbose=0).history["lambda_move"][0]
    assert moved > 1e-4 and still == 0


def test_a_whole_data_set_may_be_the_meta_set():
    given = tf.data.Dataset.from_tensor_slices(META).batch(10)
    meta = mixing(meta=given)._meta
    np.testing.assert_array_equal(meta.images, META[0])
    np.testing.assert_array_equal(meta.labels, META[1])


def test_what_is_exported_is_the_given_model(tmp_path):
    model = compiled("beta")
    model.export(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(PIXELS[:3]), model.model(PIXELS[:3]), atol=1e-6)


def test_a_meta_set_that_the_replicas_cannot_share_is_reported():
    one = META[0][:1], META[1][:1]
    with pytest.raises(UserError, match="the meta set has 1 image, fewer than the 2 replicas"):
        mixing(tiny.EXACT, replicas=2, meta=one)


def test_a_batch_that_cannot_be_split_evenly_is_reported():
    model = compiled("none", replicas=2, model=tiny.unnamed)
    with pytest.raises(UserError, match="cannot be split evenly over 2 replicas"):
        model.fit(batches().unbatch().take(23).batch(8), verbose=0)


def of_vectors():
    return keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])


def softmax():
    image = keras.Input(tiny.SHAPE)
    flat = keras.layers.Flatten()(image)
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(3)(flat)))


@pytest.mark.parametrize(
    ("made", "reported"),
    [
        ({"method": "pseudo_label"}, "takes unlabelled images .* tmm.Trainer"),
        ({"policy": "metta"}, "meta"),
        ({"meta": None}, "needs `meta`"),
        ({"meta": (META[0][:, 1:], META[1])}, r"\[rows, 6, 6, 1\]"),
        ({"meta": (META[0], META[1].astype(np.float32))}, "labels of the `meta` data"),
        ({"meta": batches().repeat()}, "repeats forever"),
        ({"model": softmax}, "softmax"),
        ({"policy": "cutmix", "model": of_vectors}, "pastes parts of images"),
    ],
)
def test_what_fit_cannot_serve_is_refused_at_once(made, reported):
    with pytest.raises(UserError, match=reported):
        mixing(**made)


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"loss": "sparse_categorical_crossentropy"}, "from_logits=True"),
        ({"loss": keras.losses.CategoricalCrossentropy()}, "from_logits=True"),
        (
            {"loss": keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)},
            "without further options",
        ),
        ({"loss": "mse"}, "from_logits=True"),
        ({"loss": SPARSE, "jit_compile": True}, "XLA"),
        ({"loss": SPARSE, "loss_weights": [2.0]}, "one loss"),
        (
            {
                "loss": SPARSE,
                "optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
            },
            "scales losses",
        ),
    ],
)
def test_what_the_step_does_not_do_is_refused_by_compile(options, reported):
    with pytest.raises(UserError, match=reported):
        mixing("none", model=tiny.unnamed).compile(**options)


@pytest.mark.parametrize(
    ("data", "options", "reported"),
    [
        (TRAIN, {"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}, "weights all rows equally"),
        ((TRAIN[0], TRAIN[1] + 1), {}, "a label is not one of the 3 classes"),
        ((TRAIN[0] * np.nan, TRAIN[1]), {}, "a pixel is NaN"),
    ],
    ids=["weights", "labels", "NaN"],
)
def test_data_that_the_step_does_not_take_are_reported(data, options, reported):
    with pytest.raises(UserError, match=reported):
        compiled("none", model=tiny.unnamed).fit(*data, verbose=0, **options)


@pytest.mark.parametrize(("replicas", "raw"), [(1, False), (2, True)])
def test_what_diverges_is_reported_at_once_and_raw_pixels_by_their_range(replicas, raw):
    images = 127.5 * (TRAIN[0] + 1) if raw else TRAIN[0]
    model = compiled(
        "none",
        optimizer=lambda: keras.optimizers.SGD(1e38),
        model=tiny.unnamed,
        replicas=replicas,
    )
    with pytest.raises(UserError, match=r"not finite at step [12].*lower learning rate") as raised:
        model.fit(images, TRAIN[1], batch_size=24, epochs=3, verbose=0)
    assert "\n" not in str(raised.value)
    assert ("values from 0 to 2" in str(raised.value)) is raw


def test_batches_of_one_row_are_refused_where_they_would_be_mixed():
    with pytest.raises(UserError, match="a batch of 1 has no pairs to mix"):
        compiled("beta").fit(*TRAIN, batch_size=1, verbose=0)


@pytest.mark.parametrize(("replicas", "where"), [(1, ""), (2, " on each of 2 replicas")])
def test_data_sets_with_one_row_a_replica_are_refused_where_they_would_be_mixed(replicas, where):
    model = compiled("beta", replicas=replicas, model=tiny.unnamed)
    data = tf.data.Dataset.from_tensor_slices(TRAIN)
    model.fit(data.batch(2 * replicas), verbose=0)
    for _ in range(2):
        with pytest.raises(UserError, match=f"a batch of 1{where} has no pairs to mix"):
            model.fit(data.batch(replicas), verbose=0)


def test_the_last_batch_of_an_epoch_may_be_a_single_row():
    odd = [each[:9] for each in TRAIN]
    assert len(compiled("beta").fit(*odd, batch_size=8, verbose=0).epoch) == 1


def test_steps_that_run_together_are_counted_as_they_are(recwarn):
    model = compiled("none", optimizer=keras.optimizers.SGD(1e-9), model=dead, steps=100)
    model.fit(*TRAIN, batch_size=8, epochs=2, verbose=0)
    assert not [each for each in recwarn if "does not learn" in str(each.message)]


def dead():
    model = tiny.unnamed()
    model.set_weights([0 * value for value in model.get_weights()])
    return model


def test_a_loss_that_passes_that_of_a_guess_is_not_warned_of(recwarn):
    watch, iterations = StagnationCallback(3, None), tf.Variable(0)
    watch.set_model(SimpleNamespace(optimizer=SimpleNamespace(iterations=iterations)))
    watch.on_train_begin()
    for epoch, share in enumerate([1.2, 1.1, 1.02, 0.95, 0.9]):
        watch.on_epoch_begin(epoch)
        iterations.assign_add(10)
        watch.on_epoch_end(epoch, {"loss": share * math.log(3)})
    assert not [each for each in recwarn if "does not learn" in str(each.message)]


def test_a_loss_that_stays_at_that_of_a_guess_is_warned_of_once():
    model = compiled("none", optimizer=keras.optimizers.SGD(1e-9), model=dead)
    with pytest.warns(UserWarning, match=r"does not learn.*ln\(3\).*scale them") as reported:
        # Epochs of few steps are looked at together; arguments may go by their place.
        images, stop = 127.5 * (TRAIN[0] + 1), keras.callbacks.TerminateOnNaN()
        model.fit(images, TRAIN[1], 1, 7, 0, [stop], 0.0)
    assert len([each for each in reported if "does not learn" in str(each.message)]) == 1
