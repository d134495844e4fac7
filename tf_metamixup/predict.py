"""`python -m tf_metamixup.predict SAVED_MODEL IMAGES...`: classes of image files, as JSON lines.

SAVED_MODEL is a folder that a run exported. IMAGES are image files (.png, .jpg, .webp, .tif, .gif,
.bmp), or folders, which stand for all such files below them, through links too; what else lies
there is counted on stderr. Images are turned, converted to grey or colour and resized as those
of --dataset=folder:DIR are. One line of JSON per image, in their order:

    {"file": ..., "class": ..., "class_id": ..., "probability": ..., "probabilities": {CLASS: ...}}

with the most likely class first in `probabilities`, or {"file": ..., "error": ...} for what cannot
be read, which does not stop the rest. Exit code: 0 if every image was classified, 1 if one was not
or the model cannot be used, 2 for bad flags.
"""

import itertools
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import flags

from tf_metamixup import cli
from tf_metamixup.core.errors import UserError, explained
from tf_metamixup.distribution.startup import start_tensorflow

BATCH = 64
SIGNATURE = "serving_default"
OUTPUTS = ("probabilities", "class_id")


class Model:
    """Represents an exported classifier.

    Raises:
        UserError: the SavedModel in `folder` cannot be loaded, or is none of ours.

    Attributes:
        image_shape: (H, W, C) of the images it takes.
        classes: their names.
    """

    def __init__(self, folder: str):
        import tensorflow as tf

        kinds = (OSError, ValueError, tf.errors.OpError)
        with explained(f"cannot load the SavedModel {folder}", *kinds):
            self._loaded = tf.saved_model.load(folder)  # which owns the variables
        serve = self._loaded.signatures.get(SIGNATURE)
        takes = serve.structured_input_signature[1] if serve else {}
        if takes.keys() != {"image"} or not serve.structured_outputs.keys() >= {*OUTPUTS}:
            raise UserError(
                f"the SavedModel {folder} has no signature {SIGNATURE!r} from `image` to "
                f"{' and '.join(f'`{name}`' for name in OUTPUTS)}, as exports of tf_metamixup have"
            )
        self._serve = serve
        self.image_shape = _image_shape(folder, takes["image"])
        labels = pathlib.Path(folder) / "assets" / "labels.txt"
        self.classes = _names(labels, serve.structured_outputs["probabilities"].shape[-1])

    def __call__(self, images: Sequence) -> tuple[Any, Any]:
        """Returns probabilities [N, classes] and class numbers [N] of images uint8 [H, W, C]."""
        import numpy as np
        import tensorflow as tf

        outputs = self._serve(image=tf.constant(np.stack(images)))
        return tuple(outputs[name].numpy() for name in OUTPUTS)


def _image_shape(folder: str, image) -> tuple[int, int, int]:
    shape = image.shape[1:].as_list() if image.shape.rank == 4 else [None]
    if image.dtype.name != "uint8" or None in shape or shape[2] not in (1, 3):
        raise UserError(
            f"the SavedModel {folder} takes {image.dtype.name} {image.shape}, and image files are "
            "uint8 [N, H, W, 1 or 3]: how they become its input is unknown; "
            "trainer.export(FOLDER, from_pixels=FUNCTION) makes it part of the model"
        )
    return tuple(shape)


def _names(path: pathlib.Path, count: int) -> list[str]:
    with explained(f"cannot read the class names {path}", OSError, ValueError):
        names = path.read_text("utf-8").removesuffix("\n").split("\n")
    if len(names) != count or len(set(names)) != count:
        raise UserError(f"{path} must name each of the {count} classes once")
    return names


def files(names: Iterable[str]) -> Iterator[pathlib.Path]:
    """Returns the image files that `names` stand for; what is no folder stands for itself."""
    from tf_metamixup.data import image_files

    for path in map(pathlib.Path, names):
        if not path.is_dir():
            yield path
            continue
        found, left_out = image_files.find(path)
        if left_out:
            warnings.warn(image_files.describe_left_out(left_out), stacklevel=2)
        yield from found or [path]


def predictions(
    model: Model, paths: Iterable[pathlib.Path], top: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yields what is printed of each image file, with the `top` most likely classes or all."""
    paths = iter(paths)
    while batch := list(itertools.islice(paths, BATCH)):
        read = [_read(path, model.image_shape) for path in batch]
        images = [image for image in read if not isinstance(image, str)]
        found = iter(zip(*model(images), strict=True) if images else ())
        for path, image in zip(batch, read, strict=True):
            if isinstance(image, str):
                yield {"file": str(path), "error": image}
            else:
                yield {"file": str(path), **_prediction(model.classes, *next(found), top)}


def _prediction(classes: list[str], probabilities, class_id, top: int | None) -> dict[str, Any]:
    order = (-probabilities).argsort(kind="stable")[:top]
    return {
        "class": classes[class_id],
        "class_id": int(class_id),
        "probability": float(probabilities[class_id]),
        "probabilities": {classes[each]: float(probabilities[each]) for each in order},
    }


def _read(path: pathlib.Path, shape: tuple[int, int, int]):
    """Returns the image, or what is wrong with it."""
    from tf_metamixup.data import image_files

    if path.is_dir():
        return f"the folder {path} holds no {', '.join(image_files.SUFFIXES)} file"
    try:
        return image_files.read(path, shape)
    except UserError as error:
        return str(error)


def parse(argv: list[str]) -> tuple[str, list[str], int | None]:
    """Returns the SavedModel, the images and --top of a command line."""
    values = flags.FlagValues()
    common = {"flag_values": values, "module_name": "predict"}
    flags.DEFINE_integer("top", None, "number of most likely classes to print", 1, **common)
    operands = cli.read_flags(values, argv, __doc__, operands=True)
    if len(operands) < 2:
        usage = cli.as_typed("python -m tf_metamixup.predict SAVED_MODEL IMAGES...", argv)
        raise UserError(f"a SavedModel and images are needed: {usage}")
    return operands[0], operands[1:], values["top"].value


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit code."""

    def run(args: tuple[str, list[str], int | None]) -> int:
        folder, names, top = args
        # Before TensorFlow is loaded for it.
        if not os.path.isfile(os.path.join(folder, "saved_model.pb")):
            raise UserError(
                f"{folder} is not a SavedModel: it holds no saved_model.pb; give the folder "
                "saved_model of a finished run"
            )
        # Else a training on the same GPU would find no memory left.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        start_tensorflow()
        return _tell(predictions(Model(folder), files(names), top))

    return cli.exit_code(lambda: parse(argv), run)


def _tell(found: Iterable[dict[str, Any]]) -> int:
    images = failed = 0
    for line in found:
        print(json.dumps(line), flush=True)
        images += 1
        failed += "error" in line
    if failed:
        print(f"error: {failed} of {images} images could not be read", file=sys.stderr)
    return cli.FAILED if failed else cli.FINISHED


if __name__ == "__main__":
    cli.execute(main)
