"""ResNet-50, of the paper's figures 2 and 7 and of no table."""

import keras

from tf_metamixup.models import MODELS, layers


@MODELS.register("resnet50")
def resnet50(
    image_shape: tuple[int, int, int], classes: int, synchronized: bool = False
) -> keras.Model:
    """Builds stages of 3, 4, 6 and 3 bottlenecks after a stem for small images: 3x3, no pooling.

    He et al., "Deep Residual Learning for Image Recognition" (2015), with the stem that public
    CIFAR codes give it (kuangliu/pytorch-cifar). The paper shows it on CIFAR-10 and says no more.
    """
    image = layers.image_input(image_shape)
    x = layers.conv(image, 64, 3, "stem_conv")
    x = layers.relu(layers.batch_norm(x, "stem_bn", synchronized), "stem_relu")

    def unit(x, stage, stride, name):
        return _bottleneck(x, 64 * 2**stage, stride, name, synchronized)

    x = layers.residual_stages(x, (3, 4, 6, 3), unit)
    return layers.classifier(image, layers.pooled_features(x), classes, "resnet50")


def _bottleneck(x, filters: int, stride: int, name: str, synchronized: bool):
    """Applies 1x1, 3x3 and 1x1 convolutions; -> [N, H/stride, W/stride, 4 * filters].

    The stride is in the 3x3 convolution: in the first one it would discard three pixels of four.
    """
    y = layers.conv(x, filters, 1, f"{name}_conv1")
    y = layers.relu(layers.batch_norm(y, f"{name}_bn1", synchronized), f"{name}_relu1")
    y = layers.conv(y, filters, 3, f"{name}_conv2", stride)
    y = layers.relu(layers.batch_norm(y, f"{name}_bn2", synchronized), f"{name}_relu2")
    y = layers.batch_norm(
        layers.conv(y, 4 * filters, 1, f"{name}_conv3"), f"{name}_bn3", synchronized
    )
    if stride != 1 or x.shape[-1] != 4 * filters:
        x = layers.conv(x, 4 * filters, 1, f"{name}_shortcut", stride)
        x = layers.batch_norm(x, f"{name}_shortcut_bn", synchronized)
    return layers.relu(keras.layers.Add(name=f"{name}_add")([y, x]), f"{name}_relu3")
