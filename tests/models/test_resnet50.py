import keras
import pytest

from tf_metamixup.models import make


@pytest.fixture(scope="module")
def model():
    return make("resnet50", (32, 32, 3), 10)


def test_the_parameters_are_those_of_the_public_cifar_variant(model, trainable_parameters):
    assert trainable_parameters(model) == 23_520_842


def test_the_stem_keeps_the_image_at_its_size(model):
    stem = model.get_layer("stem_conv")
    assert stem.kernel_size == (3, 3)
    assert stem.output.shape == (None, 32, 32, 64)
    assert not any(isinstance(layer, keras.layers.MaxPooling2D) for layer in model.layers)


def test_the_stages_have_3_4_6_and_3_bottlenecks_and_halve_the_image_but_the_first(model):
    sums = [layer.output.shape for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert sums == (
        [(None, 32, 32, 256)] * 3
        + [(None, 16, 16, 512)] * 4
        + [(None, 8, 8, 1024)] * 6
        + [(None, 4, 4, 2048)] * 3
    )


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution(model):
    strided = [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)
    ]
    assert sorted(strided) == [
        f"stage{stage}_unit1_{name}" for stage in (2, 3, 4) for name in ("conv2", "shortcut")
    ]
    assert model.get_layer("stage2_unit1_conv2").kernel_size == (3, 3)


def test_a_unit_that_keeps_the_shape_adds_its_input(model):
    _, shortcut = model.get_layer("stage4_unit3_add").input
    assert shortcut is model.get_layer("stage4_unit2_relu3").output
