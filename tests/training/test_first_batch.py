"""Images of another scale give a warning, and a look at the data changes nothing."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metamixup as tmm
from tests import tiny
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import scale
from tf_metamixup.training.first_batch import reading, scale_of, warn_of_scales

BYTES, LABELS = tiny.images(24)
UNIT = (BYTES / 255).astype(np.float32)
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def unchanged(images):
    return images


def by_type(images):
    """As TensorFlow does: integers are scaled, floats are not."""
    return tf.image.convert_image_dtype(images, tf.float32)


def warned(images, others, preprocess=unchanged):
    scales = {"labelled": images, "meta": others}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_scales(
            {name: scale_of(tf.constant(each), preprocess) for name, each in scales.items()}
        )
    return [str(each.message) for each in seen]


DIFFERENT = {
    "0 to 255 and 0 to 1": (UNIT * 255, UNIT, unchanged),
    "bytes and 0 to 1": (BYTES, UNIT, unchanged),
    "bytes and 0 to 1, scaled": (BYTES, UNIT, scale),
    "0 to 255 and -1 to 1": (UNIT * 255, 2 * UNIT - 1, unchanged),
    "0 to 1 and -1 to 1": (UNIT, 2 * UNIT - 1, unchanged),
    "0 to 255 and -128 to 127": (UNIT * 255, UNIT * 255 - 128, unchanged),
    "0 to 1 and standardized": (UNIT, (UNIT - UNIT.mean()) / UNIT.std(), unchanged),
    "16 bits and bytes": (BYTES.astype(np.uint16) * 256, BYTES, unchanged),
    "floats that a preprocessing leaves alone": (BYTES, UNIT * 255, by_type),
}
ALIKE = {
    "the same": (UNIT, UNIT[:5], unchanged),
    "bytes and floats of 0 to 255": (BYTES, UNIT * 255, unchanged),
    "what a preprocessing brings to one scale": (BYTES, UNIT, by_type),
    "darker": (UNIT, UNIT / 3, unchanged),
    "standardized": (UNIT - 0.5, UNIT[3:9] - 0.4, unchanged),
    "one colour": (UNIT, np.zeros_like(UNIT), unchanged),
}


@pytest.mark.parametrize(("one", "other", "preprocess"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_scale_gives_one_warning_with_both_ranges(one, other, preprocess):
    for images, others in ((one, other), (other, one)):
        (message,) = warned(images, others, preprocess)
        for each in (images, others):
            assert f"from {each.min():.4g} to {each.max():.4g} ({each.dtype})" in message
        assert "`meta`" in message and "\n" not in message


@pytest.mark.parametrize(("one", "other", "preprocess"), ALIKE.values(), ids=ALIKE)
def test_images_of_one_scale_give_none(one, other, preprocess):
    assert not warned(one, other, preprocess) and not warned(other, one, preprocess)


def batches(images=UNIT):
    return tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(8)


@pytest.mark.parametrize(
    ("stream", "policy"),
    [("meta", "meta"), ("unlabelled", "none"), ("test", "none")],
)
def test_trainer_warns_once(tmp_path, recwarn, stream, policy):
    trainer = tiny.trainer("pseudo_label", policy, preprocess=None)
    streams = dict.fromkeys(("labelled", "unlabelled", "meta", "test"), batches())
    streams[stream] = batches(BYTES)
    trainer.fit(**streams, steps=3, run_dir=tmp_path)
    (message,) = [str(each.message) for each in recwarn if "images range" in str(each.message)]
    assert f"`{stream}` images range from 0 to 2" in message and "uint8" in message


def test_keras_fit_warns_of_meta_and_validation_images(recwarn):
    model = tmm.MixUpModel(tiny.network(), "meta", meta=(BYTES, LABELS))
    model.compile("sgd", SPARSE)
    model.fit(batches(), validation_data=batches(2 * UNIT - 1), epochs=2, verbose=0)
    messages = [str(each.message) for each in recwarn if "images range" in str(each.message)]
    assert len(messages) == 2
    assert "`meta` images range from 0 to" in messages[0] and "uint8" in messages[0]
    assert "`validation` images range from -1" in messages[1]
    recwarn.clear()
    model = tmm.MixUpModel(tiny.network(), "meta", meta=(UNIT, LABELS))
    model.compile("sgd", SPARSE)
    stop = keras.callbacks.TerminateOnNaN()
    made = keras.callbacks.CallbackList([stop], add_history=True, model=model)
    for callbacks in (None, stop, [stop], made):
        model.fit(batches(), validation_data=(UNIT, LABELS), callbacks=callbacks, verbose=0)
    assert not [each for each in recwarn if "images range" in str(each.message)]


class Counted:
    """A data set that knows how often it has begun."""

    def __init__(self, batches=3):
        self.begun, self._batches = 0, batches
        signature = tf.TensorSpec([8, *tiny.SHAPE]), tf.TensorSpec([8], tf.int64)
        self.dataset = tf.data.Dataset.from_generator(self._generate, output_signature=signature)

    def _generate(self):
        self.begun += 1
        for _ in range(self._batches):
            yield UNIT[:8], LABELS[:8]


def test_keras_fit_reads_the_training_data_once():
    data = Counted()
    model = tmm.MixUpModel(tiny.network(), "beta")
    model.compile("sgd", SPARSE)
    model.fit(data.dataset, validation_data=batches(), verbose=0)
    assert data.begun == 1


def test_a_look_at_the_data_leaves_the_order_of_a_shuffled_data_set_alone(tmp_path):
    def weights(folder, **streams):
        # Sets TensorFlow's seed, which a shuffled data set reads when it is made.
        trainer = tiny.trainer("supervised", "none", preprocess=None)
        shuffled = batches().unbatch().shuffle(24, seed=1).batch(8)
        trainer.fit(shuffled, steps=4, run_dir=tmp_path / folder, **streams)
        return trainer.model.get_weights()

    without, checked = weights("without"), weights("with", test=batches())
    weights("stopped", max_steps=2)
    for others in (checked, weights("stopped")):
        for one, other in zip(without, others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_training_set_is_read_once(tmp_path):
    data = Counted(batches=1000)  # more than a pipeline reads ahead
    trainer = tiny.trainer("supervised", "none", preprocess=None)
    trainer.fit(data.dataset, steps=1, test=batches(), run_dir=tmp_path)
    assert data.begun == 1


def test_a_lost_worker_is_no_fault_of_the_data():
    lost = tf.errors.UnavailableError(None, None, "Error reported from /job:worker/task:1: gone")
    with pytest.raises(tf.errors.UnavailableError), reading("test"):
        raise lost
    damaged = tf.errors.DataLossError(None, None, "truncated record")
    with pytest.raises(UserError, match="the `test` data cannot be read"), reading("test"):
        raise damaged
