"""Exports what a run comes to: the SavedModel, and LiteRT models that are made of it."""

import warnings

import numpy as np
import tensorflow as tf

from tf_metamixup.config.defaults import LITERT
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.pipeline import test_batches
from tf_metamixup.distribution.startup import quiet
from tf_metamixup.export import litert
from tf_metamixup.runs.directory import RunDirectory


def require_litert(assembly) -> None:
    """Refuses, before training, a run whose network or data LiteRT models cannot be made of.

    Args:
        assembly: an `experiment.Assembly`.

    Raises:
        UserError: there are no images to compare on, or LiteRT cannot convert the network.
    """
    if assembly.prepared.judged is None:
        raise UserError(
            "--litert compares what it writes on test or validation images, and there are none: "
            "add some, or drop it"
        )
    with quiet():
        image = tf.TensorSpec([None, *assembly.source.image_shape], tf.uint8)
        litert.require_convertible(assembly.trainer.network, image)


def export(assembly, command: str, result: dict, *, trained: bool) -> None:
    """Writes what a finished run has not left behind yet; see `saved_model` and `litert`.

    Args:
        assembly: an `experiment.Assembly`, whose weights are those of the run if they are
            `trained`.
        command: that repeats the run, for the model card.
        result: of the run, which notes what is written.
        trained: whether the SavedModel can be written; else LiteRT models only, from one that is
            there.
    """
    folder = RunDirectory(assembly.config.run_dir)
    # One that lies there may be of an earlier run.
    if not (result.get("exported") and (folder.saved_model / "saved_model.pb").exists()):
        if not trained:
            return  # `fit` has warned of it
        assembly.trainer.export(folder.saved_model, command)
        result["exported"] = True
        folder.write_json("result.json", result)
    known = result.get("litert", {})
    there = [each for each in known if (folder.litert / f"{each}.tflite").exists()]
    wanted = [each for each in LITERT["both"] if each in {*LITERT[assembly.config.litert], *there}]
    if wanted != there:
        result["litert"] = _export_litert(wanted, assembly, folder, command)
        folder.write_json("result.json", result)


def _export_litert(precisions, assembly, folder, command: str) -> dict[str, dict]:
    """Writes the LiteRT models and their card; what `litert.check` found, by precision."""
    source, prepared, trainer = assembly.source, assembly.prepared, assembly.trainer
    some = litert.evenly_spaced(prepared.splits.labelled, litert.REPRESENTATIVE_IMAGES)
    tested = litert.evenly_spaced(np.arange(len(prepared.judged)), litert.TEST_IMAGES)
    models, checks = {}, {}
    with quiet():
        images = np.concatenate([x for x, _ in test_batches(source.train.keep(some), 100)])
        batches = test_batches(prepared.judged.keep(tested), 100)
        for precision in precisions:
            given = images if precision == "int8" else None
            models[precision] = litert.convert(folder.saved_model, given)
            checks[precision] = litert.check(folder.saved_model, models[precision], batches)
    if "int8" in checks:
        checks["int8"]["representative_images"] = len(images)
    litert.write(folder.litert, models, trainer.class_names, trainer.card(command, litert=checks))
    for precision, check in checks.items():
        if check["same_class"] < litert.LEAST_SAME_CLASS:
            warnings.warn(
                f"{folder.litert}/{precision}.tflite puts only {check['same_class']:.2f} % of "
                f"{check['images']} images into the class of the SavedModel; it is kept, and "
                f"its {litert.CARD} says so",
                stacklevel=2,
            )
    return checks
