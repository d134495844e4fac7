"""Wide residual networks, in two styles that the number of parameters cannot tell apart.

Zagoruyko and Komodakis, "Wide Residual Networks" (2016; szagoruyko/wide-residual-networks): ReLU,
and a 1x1 shortcut reads the activated input of its unit.

Oliver et al., "Realistic Evaluation of Deep Semi-Supervised Learning Algorithms" (2018;
brain-research/realistic-ssl-evaluation, kept by MixMatch): leaky ReLU of slope 0.1, and only the
1x1 shortcut of the first stage reads the activated input, those of the other two read the raw one.

Neither has dropout here: no row of the paper uses it.
"""

import keras

from tf_metamixup.core.errors import require
from tf_metamixup.models import MODELS, layers


def _wide_resnet(
    image_shape: tuple[int, int, int],
    classes: int,
    depth: int,
    width: int,
    synchronized: bool,
    slope: float = 0.0,
    raw_projections: tuple[bool, bool, bool] = (False, False, False),
) -> keras.Model:
    """Builds a 3x3 stem of 16 filters, three stages of (depth - 4) / 6 units, and pooling."""
    image = layers.image_input(image_shape)

    def unit(x, stage, stride, name):
        return layers.preactivation_unit(
            x, 16 * width * 2**stage, stride, name, synchronized, slope, raw_projections[stage]
        )

    x = layers.conv(image, 16, 3, "stem_conv")
    x = layers.residual_stages(x, [(depth - 4) // 6] * 3, unit)
    x = layers.relu(layers.batch_norm(x, "final_bn", synchronized), "final_relu", slope)
    return layers.classifier(image, layers.pooled_features(x), classes, f"wrn_{depth}_{width}")


@MODELS.register("wrn")
def wrn(
    image_shape: tuple[int, int, int],
    classes: int,
    depth: int = 16,
    width: int = 2,
    synchronized: bool = False,
) -> keras.Model:
    """Builds a wide residual network of any size, as in Zagoruyko and Komodakis.

    Args:
        image_shape: height, width and channels.
        classes: the number of logits.
        depth: 6n + 4 for n residual units in each of the three stages.
        width: factor of the stages' 16, 32 and 64 channels.
        synchronized: whether BatchNorm pools the statistics of all replicas.
    """
    require(depth >= 10 and depth % 6 == 4, f"wrn: depth={depth}", "be 6n + 4: 10, 16, 22, 28, ...")
    require(width >= 1, f"wrn: width={width}", "be at least 1")
    return _wide_resnet(image_shape, classes, depth, width, synchronized)


@MODELS.register("wrn_28_10")
def wrn_28_10(
    image_shape: tuple[int, int, int], classes: int, synchronized: bool = False
) -> keras.Model:
    """Builds WRN-28-10 of Zagoruyko and Komodakis, of table I; 36,479,194 parameters."""
    return wrn(image_shape, classes, 28, 10, synchronized)


@MODELS.register("wrn_28_2")
def wrn_28_2(
    image_shape: tuple[int, int, int], classes: int, synchronized: bool = False
) -> keras.Model:
    """Builds WRN-28-2 of Oliver et al., of tables III to V; 1,467,610 parameters."""
    style = {"slope": 0.1, "raw_projections": (False, True, True)}
    return _wide_resnet(image_shape, classes, 28, 2, synchronized, **style)
