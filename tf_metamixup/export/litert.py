"""LiteRT models (.tflite) of a SavedModel: float32 or quantized to int8, checked against it."""

import os
import pathlib
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metamixup.core.errors import UserError, explained, reason
from tf_metamixup.export.saved_model import CARD, export
from tf_metamixup.models.network import Network
from tf_metamixup.runs.atomic import replacing_folder

REPRESENTATIVE_IMAGES = 500
TEST_IMAGES = 1000
# Percent of the test images that a model must put into the SavedModel's class.
LEAST_SAME_CLASS = 98.0


def require_convertible(network: Network, image: tf.TensorSpec) -> None:
    """Tries the conversion of a network, trained or not, and an image as `export` takes it.

    Raises:
        UserError: LiteRT cannot do something in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved_model = pathlib.Path(folder) / "saved_model"
        export(network, saved_model, image, [], "")
        blank = tf.zeros([1, *image.shape[1:]], image.dtype)
        found = runner(convert(saved_model))(image=blank.numpy())["logits"]
        # Of some operations the converter makes what gives an empty tensor.
        expected = network.predict(blank)
        if found.shape != expected.shape or not np.allclose(found, expected, atol=1e-2):
            raise UserError(
                "LiteRT converts this network into one that computes something else; leave "
                "--litert out"
            )


def convert(saved_model: pathlib.Path, representative: np.ndarray | None = None) -> bytes:
    """Returns the content of a .tflite file with the signature of `saved_model`.

    Args:
        saved_model: an export of ours.
        representative: images [N, H, W, C] as they are stored, whose activations fix the ranges of
            an int8 model: weights and activations are int8 wherever LiteRT has the operation for
            it, input and output stay as they are. None makes a float32 model.

    Raises:
        UserError: LiteRT has no operation for something in it.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if representative is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({"image": x[None]} for x in representative)
    try:
        return converter.convert()
    except Exception as error:  # the converter raises what it likes
        raise UserError(
            f"LiteRT cannot convert this network ({reason(error)[:300]}); leave --litert out"
        ) from error


def runner(model: bytes):
    """Returns the signature of a LiteRT model: called with `image=` it returns arrays by output.

    `tf.lite.Interpreter` warns that it will go from TensorFlow; it is in the versions we ask for,
    as the converter is, and `ai_edge_litert`, which takes its place, would be one package more.
    """
    interpreter = tf.lite.Interpreter(model_content=model, num_threads=os.cpu_count())
    return interpreter.get_signature_runner()


def check(
    saved_model: pathlib.Path, model: bytes, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]
) -> dict[str, Any]:
    """Compares a LiteRT model with the SavedModel that it was made of, on stored images.

    Returns:
        `bytes` of the model; `images` compared; percent of them in the `same_class`;
        `largest_difference` of a probability; `error` and `saved_model_error`, in percent.
    """
    served = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    run = runner(model)
    found = [
        (served(image=x)["probabilities"], run(image=x.numpy())["probabilities"], y)
        for x, y in batches
    ]
    ours, theirs, truth = (np.concatenate(each) for each in zip(*found, strict=True))
    classes, lite_classes = ours.argmax(axis=1), theirs.argmax(axis=1)
    return {
        "bytes": len(model),
        "images": len(truth),
        "same_class": 100 * float(np.mean(classes == lite_classes)),
        "largest_difference": float(np.abs(ours - theirs).max()),
        "error": 100 * float(np.mean(lite_classes != truth)),
        "saved_model_error": 100 * float(np.mean(classes != truth)),
    }


def write(
    folder: pathlib.Path, models: dict[str, bytes], class_names: Sequence[str], card: str
) -> None:
    """Writes `NAME.tflite` of each model, `labels.txt` and `README.md`, all or nothing.

    Raises:
        UserError: the folder cannot be written.
    """
    with (
        explained(f"cannot write the LiteRT models {folder}", OSError),
        replacing_folder(folder) as draft,
    ):
        for name, content in models.items():
            (draft / f"{name}.tflite").write_bytes(content)
        (draft / "labels.txt").write_text("".join(f"{name}\n" for name in class_names), "utf-8")
        (draft / CARD).write_text(card, "utf-8")


def evenly_spaced(positions: np.ndarray, count: int) -> np.ndarray:
    """Returns at most `count` positions, evenly spaced: a folder's images are sorted by class."""
    count = min(count, len(positions))
    return positions[np.linspace(0, len(positions) - 1, count).round().astype(int)]
