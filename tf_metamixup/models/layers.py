"""What the architectures share: every convolution, BatchNorm and logits layer is made here.

Functions take and return Keras tensors. Layers are named by their place in the network, not by
Keras's counters, so that the second model of a process has the names of the first.
"""

from collections.abc import Callable, Sequence

import keras

from tf_metamixup.models.batch_normalization import BatchNormalization

NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def image_input(image_shape: tuple[int, int, int]) -> keras.KerasTensor:
    """Makes the input, a batch of images scaled to [-1, 1], [N, H, W, C]."""
    return keras.Input(image_shape, name="image")


def conv(x, filters: int, size: int, name: str, stride: int = 1, bias: bool = False):
    """Applies a He normal convolution; [N, H, W, C] -> [N, H/stride, W/stride, filters].

    Without a bias by default, since a BatchNorm that follows would take it away.
    """
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def batch_norm(x, name: str, synchronized: bool):
    """Applies BatchNorm, momentum 0.9 and epsilon 1e-5; `synchronized` pools the replicas.

    The values are those of the public MixUp and AdaMixUp codes; the paper names none, and Keras's
    momentum of 0.99 lags behind in short runs.
    """
    return BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized, name=name)(x)


def relu(x, name: str, slope: float = 0.0):
    """Applies ReLU, leaky where the slope for negative values is not zero."""
    return keras.layers.ReLU(negative_slope=slope, name=name)(x)


def stage_end(x, number: int):
    """Marks the end of stage `number`, from 1."""
    return keras.layers.Identity(name=f"stage{number}")(x)


def pooled_features(x):
    """Averages over all positions, [N, H, W, C] -> [N, C], as the model's features."""
    return keras.layers.GlobalAveragePooling2D(name="features")(x)


def classifier(image, features, classes: int, name: str) -> keras.Model:
    """Makes the model from `image` to logits [N, classes], linear in `features` [N, D]."""
    # Cross-entropy needs more than half precision: the logits take the dtype of the variables.
    dtype = keras.config.dtype_policy().variable_dtype
    logits = keras.layers.Dense(classes, dtype=dtype, name="logits")(features)
    return keras.Model(image, logits, name=name)


def residual_stages(x, counts: Sequence[int], unit: Callable):
    """Applies `counts` residual units by stage; each stage but the first halves the image.

    `unit` maps (x, stage from 0, stride, name) to its output. The end of every stage but the last
    is marked.
    """
    for stage, count in enumerate(counts):
        for number in range(count):
            name = f"stage{stage + 1}_unit{number + 1}"
            x = unit(x, stage, 2 if stage > 0 and number == 0 else 1, name)
        if stage < len(counts) - 1:
            x = stage_end(x, stage + 1)
    return x


def preactivation_unit(
    x,
    filters: int,
    stride: int,
    name: str,
    synchronized: bool,
    slope: float = 0.0,
    raw_projection: bool = False,
):
    """Applies two 3x3 convolutions, each after BatchNorm and ReLU; -> [N, H/s, W/s, filters].

    He et al., "Identity Mappings in Deep Residual Networks" (2016). An identity shortcut always
    carries the raw input x.

    Args:
        x: the unit's input.
        filters: channels of the output.
        stride: of the first convolution and of the shortcut.
        name: prefix of the layers' names.
        synchronized: see `batch_norm`.
        slope: see `relu`.
        raw_projection: whether a 1x1 shortcut, which is there where the shape changes, reads x
            and not the activated x.
    """
    active = relu(batch_norm(x, f"{name}_bn1", synchronized), f"{name}_relu1", slope)
    if stride == 1 and x.shape[-1] == filters:
        shortcut = x
    else:
        shortcut = conv(x if raw_projection else active, filters, 1, f"{name}_shortcut", stride)
    y = conv(active, filters, 3, f"{name}_conv1", stride)
    y = relu(batch_norm(y, f"{name}_bn2", synchronized), f"{name}_relu2", slope)
    y = conv(y, filters, 3, f"{name}_conv2")
    return keras.layers.Add(name=f"{name}_add")([y, shortcut])


def is_normalized(model: keras.Model) -> bool:
    """Returns whether the model, or a model within it, has a normalization layer."""
    return any(
        isinstance(layer, NORMALIZATIONS)
        or (isinstance(layer, keras.Model) and is_normalized(layer))
        for layer in model.layers
    )
