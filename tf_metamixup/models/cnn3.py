"""The paper's 3-layer CNN for MNIST and Fashion-MNIST."""

import keras

from tf_metamixup.core.errors import UserError, require
from tf_metamixup.models import MODELS, layers


@MODELS.register("cnn3")
def cnn3(
    image_shape: tuple[int, int, int],
    classes: int,
    width: int = 32,
    batch_norm: bool = False,
    features: int | None = None,
    average_pool: bool = False,
    synchronized: bool = False,
) -> keras.Model:
    """Builds three convolutions, each with ReLU and 2x2 max-pooling, and 4 * width dense units.

    The paper says no more than "3-layer CNN". Filters, pooling and the dense layer are ours, in the
    spirit of the network of AdaMixUp's code for MNIST (SITE5039/AdaMixUp), which has a fourth
    convolution, 512 dense units and dropout.

    Args:
        image_shape: height, width and channels; at least 8 x 8 pixels.
        classes: the number of logits.
        width: filters of the first convolution; the second has twice, the third four times as many.
        batch_norm: whether BatchNorm stands between each convolution and its ReLU.
        features: units of one more, linear, hidden layer before the logits; figure 4 plots 2.
        average_pool: whether the mean over all positions takes the place of the dense layer, which
            has most of the weights: it memorizes wrong labels later.
        synchronized: whether BatchNorm pools the statistics of all replicas.
    """
    height, breadth, _ = image_shape
    if min(height, breadth) < 8:
        raise UserError(
            f"cnn3 halves the image three times and needs at least 8x8 pixels, not "
            f"{height}x{breadth}; use larger images (--image_size=8 enlarges them) or another "
            "architecture, such as wrn"
        )
    require(width >= 1, f"cnn3: width={width}", "be at least 1")
    image = x = layers.image_input(image_shape)
    for number in (1, 2, 3):
        name, filters = f"block{number}", width * 2 ** (number - 1)
        x = layers.conv(x, filters, 3, f"{name}_conv", bias=not batch_norm)
        if batch_norm:
            x = layers.batch_norm(x, f"{name}_bn", synchronized)
        x = layers.relu(x, f"{name}_relu")
        x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        if number < 3:
            x = layers.stage_end(x, number)
    hidden = "features" if features is None else "dense"
    if average_pool:
        x = keras.layers.GlobalAveragePooling2D(name=hidden)(x)
    else:
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dense(4 * width, activation="relu", name=hidden)(x)
    if features is not None:
        require(features >= 1, f"cnn3: features={features}", "be at least 1")
        x = keras.layers.Dense(features, name="features")(x)
    return layers.classifier(image, x, classes, "cnn3")
