"""SavedModels that plain TensorFlow loads: stored images in, logits and classes out."""

import os
import pathlib
import shutil
from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_metamixup.core.errors import explained
from tf_metamixup.models.network import Network
from tf_metamixup.runs.atomic import replacing_folder

CARD = "README.md"


def export(
    network: Network,
    folder: str | os.PathLike,
    image: tf.TensorSpec,
    class_names: Sequence[str],
    card: str,
    preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> None:
    """Writes a SavedModel; an older one at the same place is replaced once it is whole.

    Signature `serving_default`: `image` as `image` says -> `logits`, `probabilities` float32
    [N, classes] and `class_id` int64 [N]. All scaling is inside; class names lie in
    `assets/labels.txt`, one a line, and the model card in `README.md`.

    Args:
        network: the network.
        folder: where the SavedModel goes.
        image: shape [None, H, W, C] and type of images as they are stored.
        class_names: one for each class.
        card: of the model, in Markdown.
        preprocess: makes of images as `image` says what the network knows as stored images.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = pathlib.Path(folder).expanduser()
    labels = folder.with_name(f".{folder.name}.labels") / "labels.txt"

    @tf.function(input_signature=[tf.TensorSpec(image.shape, image.dtype, name="image")])
    def serve(image):
        image = image if preprocess is None else preprocess(image)
        logits = tf.cast(network.predict(image), tf.float32)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_id": tf.argmax(logits, axis=-1),
        }

    module = tf.Module()
    served = [*network.model.variables, *network.averages]
    module.variables_of_the_model = [variable.value for variable in served]
    with explained(f"cannot write the SavedModel {folder}", OSError, tf.errors.OpError):
        try:
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(f"{name}\n" for name in class_names), "utf-8")
            module.labels = tf.saved_model.Asset(str(labels))
            with replacing_folder(folder) as draft:
                tf.saved_model.save(module, str(draft), signatures={"serving_default": serve})
                (draft / CARD).write_text(card, "utf-8")
        finally:
            shutil.rmtree(labels.parent, ignore_errors=True)
