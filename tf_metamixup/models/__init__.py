"""Architectures: functions from an image shape and a number of classes to a Keras model.

A model is functional, takes a float batch "image" [N, H, W, C], scaled to [-1, 1], and returns
logits [N, classes]. What other code may rely on are names of layers:

- "logits" is the last layer, a Dense without an activation, never computed in half precision;
- "features" is the layer whose output [N, D] the logits are a linear function of;
- "stage1", "stage2", ... are where the stages but the last end; what comes behind one of them
  reads nothing else of what lies before it.

To add an architecture, add a file with a function decorated by `MODELS.register`.
"""

import keras

from tf_metamixup.core import registry

# Defined before the modules below are imported: they register their functions here.
MODELS = registry.Registry(
    "architecture",
    aliases={
        "resnet18": "'preact_resnet18'",
        "resnet34": "'preact_resnet34'",
        "resnet": "'preact_resnet18' or 'resnet50'",
        "wideresnet": "'wrn_28_10' or 'wrn_28_2'",
        "wideresnet282": "'wrn_28_2'",
        "wideresnet2810": "'wrn_28_10'",
    },
)

registry.discover(__name__, __path__)

names = MODELS.names
parse = MODELS.parse


def make(spec: str, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Builds the model that `spec` describes, such as "cnn3(width=16, batch_norm=True)".

    Args:
        spec: the name of an architecture, with its options.
        image_shape: height, width and channels of an image.
        classes: the number of logits.

    >>> make("cnn3(width=4)", (28, 28, 1), classes=10).output_shape
    (None, 10)
    """
    return MODELS.make(spec, tuple(image_shape), classes)
