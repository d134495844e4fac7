import keras
import pytest

from tf_metamixup.core.errors import UserError
from tf_metamixup.models import make


@pytest.mark.parametrize(
    ("spec", "classes", "parameters"),
    [
        ("preact_resnet18", 10, 11_171_146),
        ("preact_resnet18", 100, 11_217_316),
        ("preact_resnet34", 10, 21_279_306),
        ("preact_resnet34", 100, 21_325_476),
    ],
)
def test_the_parameters_are_as_many_as_published(spec, classes, parameters, trainable_parameters):
    assert trainable_parameters(make(spec, (32, 32, 3), classes)) == parameters


@pytest.mark.parametrize("depth", [18, 34])
def test_a_depth_names_the_same_network(depth):
    layers, same = (
        [layer.name for layer in make(spec, (8, 8, 1), 10).layers]
        for spec in (f"preact_resnet{depth}", f"preact_resnet({depth})")
    )
    assert layers == same


def test_an_unknown_depth_is_reported_the_known_ones():
    with pytest.raises(UserError, match="18 or 34"):
        make("preact_resnet(50)", (32, 32, 3), 10)


@pytest.fixture(scope="module")
def model():
    return make("preact_resnet18", (32, 32, 3), 10)


def test_an_identity_shortcut_carries_the_raw_input(model):
    _, shortcut = model.get_layer("stage1_unit1_add").input
    assert shortcut is model.get_layer("stem_conv").output
    _, shortcut = model.get_layer("stage4_unit2_add").input
    assert shortcut is model.get_layer("stage4_unit1_add").output


def test_a_projection_reads_the_activated_input(model):
    projections = [layer.name for layer in model.layers if layer.name.endswith("_shortcut")]
    assert projections == [f"stage{stage}_unit1_shortcut" for stage in (2, 3, 4)]
    for stage in (2, 3, 4):
        projection = model.get_layer(f"stage{stage}_unit1_shortcut")
        assert projection.input is model.get_layer(f"stage{stage}_unit1_relu1").output


def test_nothing_stands_between_the_last_sum_and_the_pooling(model):
    assert model.get_layer("features").input is model.get_layer("stage4_unit2_add").output
    assert isinstance(model.get_layer("features"), keras.layers.GlobalAveragePooling2D)


def test_the_stages_but_the_first_halve_the_image(model):
    shapes = [model.get_layer(f"stage{stage}_unit1_add").output.shape for stage in (1, 2, 3, 4)]
    assert shapes == [
        (None, 32, 32, 64),
        (None, 16, 16, 128),
        (None, 8, 8, 256),
        (None, 4, 4, 512),
    ]
