"""Bodies of `keras.applications` under a new classifier, frozen or fine-tuned."""

import contextlib
import inspect
import os
import pathlib
import re
import socket

import keras
import tensorflow as tf

from tf_metamixup.core.errors import UserError, reason, require
from tf_metamixup.core.suggestions import did_you_mean
from tf_metamixup.models import MODELS, layers

# Seconds that the server of the weights may be silent.
TIMEOUT = 10.0
# Of the bodies' BatchNorm, as of our own (`layers.batch_norm`): MobileNets' 0.999 takes thousands
# of steps to know the data, and a body is rarely trained for so long here.
MOST_MOMENTUM = 0.9


@MODELS.register("keras")
def keras_application(
    image_shape: tuple[int, int, int],
    classes: int,
    name: str = "MobileNetV2",
    weights: str | None = None,
    frozen: bool = False,
    unfreeze_at: float | None = None,
    alpha: float | None = None,
) -> keras.Model:
    """Builds a body of `keras.applications`, its average over all positions, and new logits.

    The model takes images in [-1, 1] as every other does; what the body's own preprocessing makes
    of them, and of grey images three channels, is part of it. A body that begins frozen stays in
    inference mode, as Keras's guide to transfer learning has it: its BatchNorm statistics are
    never changed, and its dropout is off. One that stays frozen has no trainable variables.

    Args:
        image_shape: height, width and channels, 1 or 3.
        classes: the number of logits.
        name: of a function of `keras.applications`.
        weights: None, random ones; "imagenet"; or a file that `save_weights` of such a body, or
            Keras's download without the classifier, made.
        frozen: whether the body keeps its weights.
        unfreeze_at: the fraction of the run after which a frozen body trains too.
        alpha: the width multiplier of MobileNets.

    Raises:
        UserError: no such body or file, images that the body cannot take, weights that cannot be
            fetched or do not fit.
    """
    _check_stages(frozen, unfreeze_at)
    function = _find(name)
    if image_shape[-1] not in (1, 3):
        raise UserError(
            f"architecture keras takes images of 1 or 3 channels, and these have {image_shape[-1]}"
        )
    options = {} if alpha is None else {"alpha": alpha}
    body = _body(function, (*image_shape[:2], 3), weights, options)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOST_MOMENTUM)
    kind = Inference if frozen else keras.Model
    body = kind(body.inputs[0], body.outputs[0], name="body")
    body.trainable = not frozen or unfreeze_at is not None
    image = layers.image_input(image_shape)
    x = BodyInput(name, name="body_input")(image)
    return layers.classifier(image, layers.pooled_features(body(x)), classes, name)


@keras.saving.register_keras_serializable(package="tf_metamixup")
class Inference(keras.Model):
    """Represents a functional model that stays in inference mode while the outer model trains."""

    def call(self, inputs, training=None, mask=None):
        """Applies the model with moving statistics and without dropout."""
        return super().call(inputs, training=False, mask=mask)


@keras.saving.register_keras_serializable(package="tf_metamixup")
class BodyInput(keras.layers.Layer):
    """Maps images in [-1, 1], [N, H, W, 1 or 3], to what the body of that name takes."""

    def __init__(self, application: str, **kwargs):
        super().__init__(**kwargs)
        self.application = application

    def call(self, images):
        """Returns preprocessed images [N, H, W, 3]."""
        if images.shape[-1] == 1:
            images = tf.repeat(images, 3, axis=-1)
        module = inspect.getmodule(_find(self.application))
        return module.preprocess_input((images + 1) * 127.5, data_format="channels_last")

    def compute_output_shape(self, input_shape):
        """Returns the shape with three channels."""
        return (*input_shape[:-1], 3)

    def get_config(self):
        return {**super().get_config(), "application": self.application}


def _check_stages(frozen: bool, unfreeze_at: float | None) -> None:
    if unfreeze_at is None:
        return
    given = f"architecture keras: unfreeze_at={unfreeze_at}"
    if not frozen:
        raise UserError(
            f"{given} goes with frozen=True: a body that trains from the start has nothing to "
            "unfreeze"
        )
    require(0 < unfreeze_at < 1, given, "lie between 0 and 1, a share of the run")


def _find(name: str):
    """Returns the function of `keras.applications` that builds `name`."""
    known = sorted(
        key
        for key, value in vars(keras.applications).items()
        if callable(value) and "include_top" in inspect.signature(value).parameters
    )
    if name not in known:
        raise UserError(
            f"architecture keras: keras.applications has no {name!r}{did_you_mean(name, known)}; "
            f"it has {', '.join(known)}"
        )
    return getattr(keras.applications, name)


def _body(function, shape: tuple[int, int, int], weights: str | None, options) -> keras.Model:
    """Builds the body, [N, H, W, 3] -> [N, h, w, D]; problems are for people."""
    name = function.__name__
    if options.keys() - inspect.signature(function).parameters.keys():
        raise UserError(f"architecture keras: {name} has no option alpha; MobileNets have")
    path = pathlib.Path(weights).expanduser() if weights not in (None, "imagenet") else None
    if path is not None and not path.is_file():
        raise UserError(
            f"architecture keras: weights={weights!r} is not a file; use None, 'imagenet' or the "
            "path of a .weights.h5 or .h5 file"
        )
    given = None if path else weights
    try:
        with _silent_at_most(TIMEOUT):
            body = function(include_top=False, weights=given, input_shape=shape, **options)
    except Exception as error:
        raise UserError(_problem(name, shape, error)) from error
    if path:
        try:
            body.load_weights(path)
        except Exception as error:  # as many kinds as there are formats
            raise UserError(
                f"architecture keras: the file {path} holds no weights of {name} without its "
                f"classifier, of these options ({reason(error).rstrip('.')})"
            ) from error
    return body


def _problem(name: str, shape: tuple[int, int, int], error: Exception) -> str:
    """Says what to do where `keras.applications` cannot build a body."""
    text = str(error)
    if found := re.search(r"URL fetch failure on (\S+?):? ", text):
        home = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras"))
        file = found[1].rpartition("/")[2]
        return (
            f"architecture keras: the weights of {name} cannot be fetched "
            f"({text.partition(' -- ')[2] or 'no answer'}); where there is a network download "
            f"{found[1]} and put it here as {home / 'models' / file}, or give weights='PATH' of it"
        )
    if found := re.search(r"at least (\d+)", text):
        return (
            f"architecture keras: {name} takes images of at least {found[1]}x{found[1]} pixels, "
            f"and these have {shape[0]}x{shape[1]}; enlarge them with --image_size={found[1]}"
        )
    return f"architecture keras: {name} cannot be built ({reason(error).rstrip('.')})"


@contextlib.contextmanager
def _silent_at_most(seconds: float):
    """Gives up on a server that says nothing for so long, where Keras would wait."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
