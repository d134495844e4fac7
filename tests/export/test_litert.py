import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_metamixup import models
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import scale
from tf_metamixup.export import litert
from tf_metamixup.export.saved_model import export
from tf_metamixup.models.network import Network

IMAGE = tf.TensorSpec([None, *tiny.SHAPE], tf.uint8)


def by_brightness(sign):
    """A linear network of three classes, for dark, medium and bright images, or the other way."""
    model = tiny.unnamed()
    pixels = np.prod(tiny.SHAPE)
    kernel = sign * np.repeat([[-1.0, 0.0, 1.0]], pixels, axis=0) / pixels
    model.set_weights([kernel, np.array([-0.1, 0.05, -0.1])])
    return Network(model, scale)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("litert") / "saved_model"
    export(by_brightness(1), folder, IMAGE, ["dark", "medium", "bright"], "")
    return folder


@pytest.fixture(scope="module")
def batches():
    """90 images in batches of uneven size."""
    return tf.data.Dataset.from_tensor_slices(tiny.images(90)).batch(40)


@pytest.mark.parametrize(("precision", "least"), [("float32", 100), ("int8", 97)])
def test_a_model_keeps_the_signature_and_the_classes(saved_model, batches, precision, least):
    images, labels = tiny.images(90)
    model = litert.convert(saved_model, images[:30] if precision == "int8" else None)
    interpreter = tf.lite.Interpreter(model_content=model)
    (image,) = interpreter.get_input_details()
    assert (image["dtype"], image["shape_signature"].tolist()) == (np.uint8, [-1, 6, 6, 1])
    assert interpreter.get_signature_list() == {
        "serving_default": {
            "inputs": ["image"],
            "outputs": ["class_id", "logits", "probabilities"],
        }
    }
    kinds = {detail["dtype"] for detail in interpreter.get_tensor_details()}
    assert (np.int8 in kinds) == (precision == "int8")

    check = litert.check(saved_model, model, batches)
    assert (check["images"], check["bytes"]) == (90, len(model))
    assert check["same_class"] >= least
    assert check["largest_difference"] < (1e-5 if precision == "float32" else 0.05)
    served = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    classes = served(image=tf.constant(images))["class_id"].numpy()
    assert check["saved_model_error"] == pytest.approx(100 * np.mean(classes != labels))
    assert len(set(classes)) == 3


def test_a_model_that_is_another_one_is_noticed(saved_model, batches, tmp_path):
    export(by_brightness(-1), tmp_path / "other", IMAGE, ["a", "b", "c"], "")
    check = litert.check(saved_model, litert.convert(tmp_path / "other"), batches)
    assert check["same_class"] < 50
    assert check["error"] > check["saved_model_error"]


def test_a_network_that_cannot_be_converted_is_reported_before_it_is_trained():
    image = keras.Input(tiny.SHAPE)
    x = keras.layers.Lambda(lambda x: tf.math.erf(x))(image)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    with pytest.raises(UserError, match=r"LiteRT cannot convert this network \(.*Erf") as raised:
        litert.require_convertible(Network(model, scale), IMAGE)
    assert "\n" not in str(raised.value)
    assert "--litert" in str(raised.value)


def test_a_residual_network_converts():
    model = models.make("wrn(depth=10, width=1)", (16, 16, 3), 10)
    litert.require_convertible(Network(model, scale), tf.TensorSpec([None, 16, 16, 3], tf.uint8))


def test_a_conversion_to_something_else_is_reported(monkeypatch, saved_model):
    litert.require_convertible(by_brightness(1), IMAGE)
    model = litert.convert(saved_model)
    monkeypatch.setattr(litert, "convert", lambda _: model)
    with pytest.raises(UserError, match="computes something else"):
        litert.require_convertible(by_brightness(-1), IMAGE)


def test_positions_are_spread_over_all_of_them():
    positions = np.arange(100, 200)
    assert litert.evenly_spaced(positions, 4).tolist() == [100, 133, 166, 199]
    assert litert.evenly_spaced(positions, 1000).tolist() == positions.tolist()


def test_models_are_written_whole_over_older_ones_or_reported(tmp_path):
    folder = tmp_path / "litert"
    litert.write(folder, {"float32": b"old"}, ["a", "b"], "# card")
    litert.write(folder, {"int8": b"new"}, ["a", "b"], "# card")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "int8.tflite",
        "labels.txt",
    ]
    assert (folder / "labels.txt").read_text() == "a\nb\n"
    assert [path.name for path in tmp_path.iterdir()] == ["litert"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the LiteRT models"):
        litert.write(tmp_path / "file" / "litert", {}, [], "")
