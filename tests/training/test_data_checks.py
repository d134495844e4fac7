"""What a user gives for each stream is taken, or refused in one line that names the stream."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.core.errors import UserError
from tf_metamixup.methods.batch import targets
from tf_metamixup.mixing import Sample
from tf_metamixup.training.data_checks import check_images, labelled_dataset, unlabelled_dataset
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.keras_checks import check_tensors

IMAGES, LABELS = tiny.images(24)
PIXELS = (IMAGES / 255).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.int32)[LABELS]
PROBABILITIES = ONE_HOT.astype(np.float32)
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
MODEL = (None, *tiny.SHAPE), 3
STREAMS = ("labelled", "unlabelled", "meta", "test")


def batches(images=PIXELS, labels=LABELS, rows=8):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(rows)


def untyped(images=PIXELS, labels=LABELS):
    """Batches of which TensorFlow knows no shape."""

    def generate():
        for first in range(0, len(images), 8):
            yield images[first : first + 8], labels[first : first + 8]

    types = tuple(tf.as_dtype(array.dtype) for array in (images, labels))
    return tf.data.Dataset.from_generator(generate, output_types=types)


def no_step(graphs, batch, step, all_train):
    """In place of a training step, whose tracing takes long: the data is read and checked."""
    del step, all_train
    graphs._metric_names = {"train_loss": None}
    spec = Sample.spec(*MODEL)
    sample = tf.nest.map_structure(lambda each: tf.zeros([0, *each.shape[1:]], each.dtype), spec)
    with tf.control_dependencies([each for each in batch if each is not None]):
        return tf.ones([1, 2], tf.float64), tf.zeros([0, 6]), sample


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """`fit` with one stream replaced, whose data is refused before anything is saved."""
    monkeypatch.setattr(Graphs, "_global_step", no_step)

    def fit(method="pseudo_label", policy=tiny.EXACT, **streams):
        given = dict.fromkeys(STREAMS, batches()) | streams
        try:
            tiny.trainer(method, policy).fit(**given, steps=1, run_dir=tmp_path)
        finally:
            assert not list(tmp_path.glob("checkpoints/*"))

    return fit


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, number):
        return PIXELS[8 * number : 8 * number + 8], LABELS[8 * number : 8 * number + 8]


class Loader:
    def __iter__(self):
        yield PIXELS[:8], LABELS[:8]


SLICES = r"make one with tf.data.Dataset.from_tensor_slices"
GENERATOR = r"make one with tf.data.Dataset.from_generator\(lambda: "
NO_DATASETS = {
    "tuple": (lambda: (PIXELS, LABELS), f"of type tuple; {SLICES}"),
    "list": (lambda: [PIXELS, LABELS], f"of type list; {SLICES}"),
    "array": (lambda: PIXELS, f"of type ndarray; {SLICES}"),
    "tensor": (lambda: tf.constant(PIXELS), f"of type EagerTensor; {SLICES}"),
    "dictionary": (lambda: {"image": PIXELS}, f"of type dict; {SLICES}"),
    "PyDataset": (Sequence, rf"of type Sequence; {GENERATOR}\(data\[i\] for i in range"),
    "loader": (Loader, rf"of type Loader; {GENERATOR}iter\(data\)"),
    "generator": (lambda: iter(Loader()), "of type generator; .*from_generator"),
    "path": (lambda: "images", "of type str"),
}


@pytest.mark.parametrize(
    ("stream", "build", "message"),
    [("labelled", *each) for each in NO_DATASETS.values()]
    + [(stream, *NO_DATASETS["tuple"]) for stream in STREAMS[1:]],
    ids=[*NO_DATASETS, *STREAMS[1:]],
)
def test_what_is_no_data_set_is_refused_with_how_to_make_one(fit, stream, build, message):
    with pytest.raises(UserError, match=f"^the `{stream}` data must be .*{message}") as raised:
        fit(**{stream: build()})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("given", ["what a PyDataset needs", "what a loader needs"])
def test_what_the_message_says_makes_a_data_set(given):
    data = Sequence() if "PyDataset" in given else Loader()
    with pytest.raises(UserError) as raised:
        labelled_dataset("labelled", data, *MODEL)
    made = eval(str(raised.value).partition("make one with ")[2], {"tf": tf, "data": data})
    images, labels = next(iter(labelled_dataset("labelled", made, *MODEL)))
    np.testing.assert_array_equal(images, PIXELS[:8])
    np.testing.assert_array_equal(labels, LABELS[:8])


ELEMENTS = {
    "empty": (lambda: batches().take(0), "`{}` data is empty"),
    "empty without saying so": (lambda: batches().filter(lambda x, y: False), "`{}` data is empty"),
    "single images": (lambda: batches().unbatch(), r"the `{}` data must .* \.batch\(64\)"),
    "another size": (lambda: batches(PIXELS[:, 1:]), r"of the `{}` data .* \[rows, 6, 6, 1\], but"),
    "text": (lambda: batches(PIXELS.astype(str)), "of the `{}` data must be numbers"),
    "dictionaries": (
        lambda: batches().map(lambda x, y: {"image": x, "label": y}),
        "the `{}` data must give .*pairs",
    ),
    "three": (lambda: batches().map(lambda x, y: (x, y, y)), "the `{}` data must give .*pairs"),
    "ragged": (
        lambda: batches().map(lambda x, y: (tf.RaggedTensor.from_tensor(x), y)),
        "the `{}` data must give .*pairs",
    ),
    "labels of another number": (
        lambda: tf.data.Dataset.from_tensors((PIXELS[:8], LABELS[:7])),
        "the `{}` data must give as many images as labels, but gives 8 images with 7",
    ),
    "labels of another number without saying so": (
        lambda: untyped().map(lambda x, y: (x, y[1:])),
        "in the `{}` data, a batch has not one label per image: 8 7",
    ),
    "vector of floats": (
        lambda: batches(labels=LABELS.astype(np.float32)),
        "labels of the `{}` data must be integers",
    ),
    "other classes": (lambda: batches(labels=PROBABILITIES[:, :2]), "labels of the `{}` data must"),
    "integers of other classes": (
        lambda: batches(labels=ONE_HOT[:, :2]),
        "labels of the `{}` data must",
    ),
    "truth values": (lambda: batches(labels=ONE_HOT > 0), "labels of the `{}` data must"),
    "another size without saying so": (
        lambda: untyped(PIXELS[:, 1:]),
        r"in the `{}` data, images must be batches .* rows, 6, 6, 1, but they are 8 5 6 1",
    ),
    "single images without saying so": (
        lambda: untyped().unbatch(),
        "in the `{}` data, images must be batches .* they are 6 6 1",
    ),
    "batches that cannot be made": (
        lambda: untyped().unbatch().concatenate(untyped(PIXELS[:, 1:]).unbatch()).batch(30),
        "the `{}` data cannot be read: Cannot batch tensors with different shapes",
    ),
}


# Meta sets that show only as they are read, which takes long, go through Keras's entrance (below).
SHOWN_BY_READING = {
    *(f"{what} without saying so" for what in ("empty", "another size", "single images")),
    "batches that cannot be made",
}


@pytest.mark.parametrize(
    ("stream", "build", "message"),
    [
        pytest.param(stream, *each, id=f"{name}-{stream}")
        for name, each in ELEMENTS.items()
        for stream in STREAMS
        if stream != "meta" or name not in SHOWN_BY_READING
    ],
)
def test_batches_that_the_model_does_not_take_are_refused(fit, stream, build, message):
    with pytest.raises(UserError, match=message.format(stream)) as raised:
        fit(**{stream: build()})
    assert "\n" not in str(raised.value)


VALUES = {
    "no class": (
        lambda: LABELS + 1,
        "a label is not one of the 3 classes, 0 to 2; they go from, to: 1 3",
    ),
    "negative class": (lambda: LABELS - 1, "a label is not one of the 3 classes"),
    "column without a class": (lambda: LABELS[:, None] + 1, "a label is not one of the 3 classes"),
    "negative": (lambda: 3 * PROBABILITIES - 1, "probabilities of a label are negative or do not"),
    "negative, sum 1": (lambda: 2 * PROBABILITIES - 1 / 3, "probabilities of a label are negative"),
    "percent": (lambda: 100 * PROBABILITIES, "do not sum to 1; sums go from, to: 100 100"),
    "logits": (lambda: 4 * PROBABILITIES - 2, "probabilities of a label are negative"),
    "several classes": (
        lambda: np.ones([24, 3], np.int64),
        "do not sum to 1; sums go from, to: 3 3",
    ),
    "no class of a one-hot label": (lambda: 0 * ONE_HOT, "do not sum to 1; sums go from, to: 0 0"),
    "no number": (lambda: PROBABILITIES * np.nan, "a label is NaN or infinite"),
    "rounded in half precision, and then some": (
        lambda: PROBABILITIES.astype(np.float16) * np.float16(1.05),
        "do not sum to 1",
    ),
}


@pytest.mark.parametrize(("build", "message"), VALUES.values(), ids=VALUES)
def test_labels_of_the_test_set_are_checked_before_the_first_step(fit, build, message):
    with pytest.raises(UserError, match=f"^in the `test` data, .*{message}"):
        fit("supervised", "none", test=batches(labels=build()))


def test_pixels_of_the_test_set_are_checked_before_the_first_step(fit):
    with pytest.raises(UserError, match=r"^in the `test` data, a pixel is NaN"):
        fit("supervised", "none", test=batches(PIXELS * np.nan))


def test_a_test_set_that_repeats_is_refused(fit):
    with pytest.raises(UserError, match="the `test` data must be finite"):
        fit("supervised", "none", test=batches().repeat())


@pytest.mark.parametrize(
    ("method", "views", "message"),
    [
        ("pi_model", None, r"takes 2 views .* \[rows, 2, 6, 6, 1\], but the data has 1"),
        ("pi_model", 3, "takes 2 views .* but the data has 3"),
        ("mixmatch(augmentations=3)", 2, "takes 3 views .* but the data has 2"),
        ("pseudo_label", 2, "takes 1 view .* but the data has 2"),
    ],
)
def test_another_number_of_views_is_refused(fit, method, views, message):
    images = PIXELS if views is None else np.stack([PIXELS] * views, axis=1)
    data = tf.data.Dataset.from_tensor_slices(images).batch(8)
    with pytest.raises(UserError, match=message):
        fit(method, "none", unlabelled=data)


KINDS = {
    "integers": LABELS,
    "small integers": LABELS.astype(np.uint8),
    "column": LABELS[:, None],
    "one-hot integers": ONE_HOT,
    "probabilities": PROBABILITIES,
    "half precision": PROBABILITIES.astype(np.float16),
}


@pytest.fixture(scope="module")
def evaluated():
    """A trainer, and its scores on the plain labels."""
    trainer = tiny.trainer("pseudo_label", tiny.EXACT)
    return trainer, trainer.evaluate(batches())


@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_labels_of_every_kind_are_the_same_by_both_entrances(labels, evaluated):
    trainer, scores = evaluated
    data = batches(labels=labels)
    streams = dict.fromkeys(("labelled", "unlabelled", "meta"), data)
    graphs = trainer.graphs(**streams, epoch_steps=1, steps=1)
    batch = graphs.to_batch(next(graphs.batches(0)))
    for y in (batch.y, batch.y_meta):
        np.testing.assert_array_equal(y, PROBABILITIES[:8])
    np.testing.assert_array_equal(batch.u_labels, LABELS[:8])
    assert trainer.evaluate(data) == scores
    mixed = tmm.MixUpModel(trainer.model, "meta", meta=(PIXELS, labels))
    _, here = check_tensors("labelled", mixed.model, tf.constant(PIXELS), tf.constant(labels))
    for y in (mixed._meta.labels, here):
        np.testing.assert_array_equal(targets(y, 3, tf.float32), PROBABILITIES)


def test_label_smoothing_is_of_labelled_targets_of_every_kind_alone():
    trainer = tiny.trainer("supervised", tiny.EXACT, label_smoothing=0.3)
    soft = np.tile(np.array([[0.5, 0.5, 0], [0, 0.25, 0.75]], np.float32), (len(LABELS) // 2, 1))
    for labels, plain in ((LABELS, PROBABILITIES), (soft, soft)):
        data = batches(labels=labels)
        graphs = trainer.graphs(labelled=data, meta=data, epoch_steps=1, steps=1)
        batch = graphs.to_batch(next(graphs.batches(0)))
        # 0.7 of each target, and 0.1 for each of three classes.
        np.testing.assert_allclose(batch.y, 0.7 * plain[:8] + 0.1, rtol=1e-6)
        np.testing.assert_array_equal(batch.y_meta, plain[:8])


@pytest.mark.parametrize(
    ("method", "share", "said"),
    [
        ("supervised", 1.0, r"must lie in \[0, 1\)"),
        ("glc", 0.1, "does not go with method GoldLoss"),
    ],
)
def test_label_smoothing_that_cannot_be_is_refused(method, share, said):
    with pytest.raises(UserError, match=said):
        tiny.trainer(method, "none", label_smoothing=share)


def test_probabilities_need_not_be_exact():
    trainer = tiny.trainer("supervised", "none")
    for dtype in (np.float16, np.float32, np.float64, tf.bfloat16.as_numpy_dtype):
        thirds = np.full([24, 3], 1 / 3).astype(dtype)
        graphs = trainer.graphs(labelled=batches(labels=thirds), epoch_steps=1, steps=1)
        graphs.to_batch(next(graphs.batches(0)))


def decoded():
    files = [tf.io.encode_png(image).numpy() for image in IMAGES]
    return (
        tf.data.Dataset.from_tensor_slices((files, LABELS))
        .map(lambda file, label: (tf.io.decode_image(file), label))
        .batch(8)
    )


def any_size():
    signature = tf.TensorSpec([None] * 4), tf.TensorSpec([None], tf.int64)
    return tf.data.Dataset.from_generator(lambda: iter(batches()), output_signature=signature)


OPEN = {"untyped": untyped, "decoded": decoded, "any size": any_size}


@pytest.mark.parametrize("build", OPEN.values(), ids=OPEN)
def test_open_shapes_are_those_of_the_model(build):
    data = build()
    for shape in (MODEL[0], (None, None, None, 1)):
        images, labels = labelled_dataset("labelled", data, shape, 3).element_spec
        assert (images.shape, labels.shape) == (shape, (None,))
    images, labels = unlabelled_dataset(data, *MODEL, 1).element_spec
    assert (images.shape, labels.shape) == ((None, 1, *tiny.SHAPE), (None,))
    for kind in (ONE_HOT, PROBABILITIES):
        spec = labelled_dataset("labelled", batches(labels=kind), *MODEL).element_spec
        assert spec[1].shape == (None, 3)


def test_known_shapes_leave_a_data_set_as_it_is():
    data = batches()
    assert labelled_dataset("labelled", data, *MODEL) is data


def test_data_of_open_shapes_trains_in_every_stream(tmp_path):
    trainer = tiny.trainer("pseudo_label", "meta", preprocess=None)
    streams = dict.fromkeys(("labelled", "unlabelled", "meta"), untyped())
    result = trainer.fit(**streams, test=untyped(), steps=2, run_dir=tmp_path)
    assert result["status"] == "finished" and result["test_error"] is not None


def test_keras_fit_takes_open_shapes():
    model = tmm.MixUpModel(tiny.network(), "meta", meta=untyped())
    model.compile("sgd", SPARSE)
    assert np.isfinite(model.fit(untyped(), verbose=0).history["loss"]).all()


def test_a_later_batch_that_cannot_be_read_is_reported(tmp_path):
    images = untyped().concatenate(untyped(PIXELS[:, 1:])).unbatch()
    with pytest.raises(UserError, match="the training data cannot be read: Cannot batch") as raised:
        tiny.trainer("supervised", "none").fit(
            images.batch(14), steps=4, run_dir=tmp_path, log_every=1
        )
    assert "\n" not in str(raised.value)


def test_a_generator_that_cannot_begin_anew_is_reported(tmp_path):
    once = iter([(PIXELS[:8], LABELS[:8])] * 9)
    signature = tf.TensorSpec([8, *tiny.SHAPE]), tf.TensorSpec([8], tf.int64)
    data = tf.data.Dataset.from_generator(lambda: once, output_signature=signature)
    with pytest.raises(UserError, match=r"`labelled` data .* cannot be read a second time"):
        tiny.trainer("supervised", "none").fit(data, steps=12, run_dir=tmp_path)


@pytest.mark.parametrize("names", [["a", "b"], list("abcd"), [], np.array(["a"])])
def test_class_names_of_another_number_are_refused(names):
    message = f"class_names has {len(names)} names, but the model returns 3 logits"
    with pytest.raises(UserError, match=message):
        tiny.trainer("supervised", "none", class_names=names)
    array = np.array(["a", "b", "c"])
    assert tiny.trainer("supervised", "none", class_names=array).class_names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("names", "told"),
    [(["a", "b", "a"], "'a' for several classes"), (["a", "b", "c\nd"], "with a line break")],
)
def test_class_names_that_are_not_apart_are_refused(names, told):
    with pytest.raises(UserError, match=told):
        tiny.trainer("supervised", "none", class_names=names)


META = {
    **{name: NO_DATASETS[name] for name in ("array", "PyDataset", "loader", "dictionary", "path")},
    **{
        name: ELEMENTS[name]
        for name in ELEMENTS
        if name not in ("labels of another number without saying so",)
    },
    **{name: (lambda b=b: (PIXELS, b()), message) for name, (b, message) in VALUES.items()},
    "three arrays": (lambda: (PIXELS, LABELS, LABELS), "of type tuple"),
    "empty without saying so": (lambda: batches().filter(lambda x, y: False), "is empty"),
    "no rows": (lambda: (PIXELS[:0], LABELS[:0]), "`meta` data is empty"),
    "fewer labels": (lambda: (PIXELS, LABELS[:9]), "gives 24 images with 9 labels"),
    "one image": (lambda: (PIXELS[0], LABELS[0]), r"\[rows, 6, 6, 1\]"),
    "rows of several lengths": (lambda: ([[1], [1, 2]], LABELS[:2]), "must be a pair of arrays"),
    "repeated": (lambda: batches().repeat(), "repeats forever"),
    "no pixel": (lambda: (PIXELS * np.nan, LABELS), "a pixel is NaN"),
}


@pytest.mark.parametrize(("build", "message"), META.values(), ids=META)
def test_a_meta_set_that_keras_cannot_be_given_is_refused_in_one_line(build, message):
    with pytest.raises(UserError, match=message.format("meta")) as raised:
        tmm.MixUpModel(tiny.network(), "meta", meta=build())
    assert "meta" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((batches().take(0),), "`labelled` data is empty"),
        ((PIXELS[:0], LABELS[:0]), "`labelled` data is empty"),
        ((batches().unbatch(),), r"\.batch\(64\)"),
        ((untyped(PIXELS[:, 1:]),), "in the `labelled` data, images must be batches"),
        ((PIXELS, 100 * PROBABILITIES), "in the `labelled` data, .* do not sum to 1"),
        ((PIXELS, LABELS.astype(np.float32)), "labels of the `labelled` data must be integers"),
    ],
    ids=["empty", "no rows", "single images", "another size", "percent", "floats"],
)
def test_what_keras_fit_is_given_is_refused_in_one_line(arguments, message):
    model = tmm.MixUpModel(tiny.network(), "none")
    by_class = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", by_class if "sum to 1" in message else SPARSE)
    with pytest.raises(UserError, match=message) as raised:
        model.fit(*arguments, verbose=0)
    assert "\n" not in str(raised.value)


def test_images_without_an_axis_of_channels_are_told_to_add_one():
    images = tf.TensorSpec([None, *tiny.SHAPE[:-1]], tf.float32)
    with pytest.raises(UserError, match=r"add an axis with \[\.\.\., None\]"):
        check_images("labelled", images, (None, *tiny.SHAPE))
    with pytest.raises(UserError, match=r"make batches with \.batch\(64\)"):
        check_images("labelled", tf.TensorSpec(tiny.SHAPE, tf.float32), (None, *tiny.SHAPE))


def test_data_that_nothing_reads_are_named():
    trainer, data = tiny.trainer("supervised", "none"), batches()
    with pytest.warns(UserWarning) as caught:
        trainer.graphs(labelled=data, unlabelled=data, meta=data, epoch_steps=1, steps=1)
    assert [str(each.message) for each in caught] == [
        "method Supervised() does not use `unlabelled` data",
        "policy Unmixed() does not use `meta` data",
    ]


@pytest.mark.parametrize(
    ("loss", "labels", "told"),
    [
        (keras.losses.SparseCategoricalCrossentropy, ONE_HOT, "are one-hot, .*: give .*[.]Categor"),
        (keras.losses.CategoricalCrossentropy, LABELS, "are integers, .*[.]SparseCategorical"),
    ],
)
def test_labels_that_the_loss_does_not_take_are_refused_before_the_first_step(loss, labels, told):
    mixed = tmm.MixUpModel(tiny.network(), "none")
    mixed.compile("sgd", loss(from_logits=True))
    with pytest.raises(UserError, match=told):
        mixed.fit(PIXELS, labels, verbose=0)
