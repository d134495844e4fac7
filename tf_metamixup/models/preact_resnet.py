"""PreActResNet-18 and -34 as in the public MixUp codes.

He et al., "Identity Mappings in Deep Residual Networks" (2016), with a 3x3 stem without BatchNorm
and, unlike He et al., no BatchNorm and ReLU after the last unit. As in hongyi-zhang/mixup,
kuangliu/pytorch-cifar, vikasverma1077/manifold_mixup and AdaMixUp's code (tensorpack).
"""

import keras

from tf_metamixup.core.errors import require
from tf_metamixup.models import MODELS, layers

# Units of the four stages, by depth.
UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@MODELS.register("preact_resnet")
def preact_resnet(
    image_shape: tuple[int, int, int], classes: int, depth: int = 18, synchronized: bool = False
) -> keras.Model:
    """Builds a PreActResNet of depth 18 or 34: 64 to 512 channels, projections of activated x.

    With 10 classes and colour images they have 11,171,146 and 21,279,306 trainable parameters.

    Args:
        image_shape: height, width and channels.
        classes: the number of logits.
        depth: 18 or 34.
        synchronized: whether BatchNorm pools the statistics of all replicas.
    """
    known = " or ".join(map(str, UNITS))
    require(depth in UNITS, f"preact_resnet: depth={depth}", f"be {known}")
    image = layers.image_input(image_shape)

    def unit(x, stage, stride, name):
        return layers.preactivation_unit(x, 64 * 2**stage, stride, name, synchronized)

    x = layers.residual_stages(layers.conv(image, 64, 3, "stem_conv"), UNITS[depth], unit)
    return layers.classifier(image, layers.pooled_features(x), classes, f"preact_resnet{depth}")


@MODELS.register("preact_resnet18")
def preact_resnet18(
    image_shape: tuple[int, int, int], classes: int, synchronized: bool = False
) -> keras.Model:
    """Builds `preact_resnet` of depth 18, of tables I and II."""
    return preact_resnet(image_shape, classes, 18, synchronized)


@MODELS.register("preact_resnet34")
def preact_resnet34(
    image_shape: tuple[int, int, int], classes: int, synchronized: bool = False
) -> keras.Model:
    """Builds `preact_resnet` of depth 34, of table I."""
    return preact_resnet(image_shape, classes, 34, synchronized)
