import keras
import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.models import make


@pytest.mark.parametrize(
    ("spec", "classes", "parameters"),
    [
        ("wrn_28_2", 10, 1_467_610),
        ("wrn_28_10", 10, 36_479_194),
        ("wrn_28_10", 100, 36_536_884),
    ],
)
def test_the_parameters_are_as_many_as_published(spec, classes, parameters, trainable_parameters):
    assert trainable_parameters(make(spec, (32, 32, 3), classes)) == parameters


@pytest.fixture(scope="module")
def oliver():
    return make("wrn_28_2", (32, 32, 3), 10)


@pytest.fixture(scope="module")
def zagoruyko():
    return make("wrn_28_10", (32, 32, 3), 10)


def slopes(model):
    """What each activation of the network makes of -1."""
    activations = [layer for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert len(activations) == 2 * 12 + 1
    return [round(float(-layer(tf.constant(-1.0))), 6) for layer in activations]


def test_wrn_28_2_leaks_a_tenth_of_what_is_negative(oliver):
    assert set(slopes(oliver)) == {0.1}


def test_wrn_28_10_leaks_nothing(zagoruyko):
    assert set(slopes(zagoruyko)) == {0.0}


def projection_inputs(model):
    """The layer that each 1x1 shortcut reads, by name."""
    outputs = {id(layer.output): layer.name for layer in model.layers}
    shortcuts = [layer for layer in model.layers if layer.name.endswith("_shortcut")]
    assert all(layer.kernel_size == (1, 1) for layer in shortcuts)
    return [outputs[id(layer.input)] for layer in shortcuts]


def test_wrn_28_2_projects_the_activated_input_only_in_the_first_stage(oliver):
    assert projection_inputs(oliver) == ["stage1_unit1_relu1", "stage1", "stage2"]
    for stage in ("stage1", "stage2"):
        assert oliver.get_layer(stage).input is oliver.get_layer(f"{stage}_unit4_add").output


def test_wrn_28_10_projects_the_activated_input_in_every_stage(zagoruyko):
    assert projection_inputs(zagoruyko) == [f"stage{s}_unit1_relu1" for s in (1, 2, 3)]


@pytest.mark.parametrize("style", ["oliver", "zagoruyko"])
def test_the_first_convolution_of_a_unit_reads_the_activated_input(style, request):
    model = request.getfixturevalue(style)
    for name in ("stage1_unit1", "stage2_unit1", "stage3_unit2", "stage3_unit4"):
        conv = model.get_layer(f"{name}_conv1")
        assert conv.input is model.get_layer(f"{name}_relu1").output


@pytest.mark.parametrize("style", ["oliver", "zagoruyko"])
def test_an_identity_shortcut_carries_the_raw_input(style, request):
    model = request.getfixturevalue(style)
    _, shortcut = model.get_layer("stage1_unit2_add").input
    assert shortcut is model.get_layer("stage1_unit1_add").output


@pytest.mark.parametrize("style", ["oliver", "zagoruyko"])
def test_batch_norm_and_relu_stand_between_the_last_sum_and_the_pooling(style, request):
    model = request.getfixturevalue(style)
    assert model.get_layer("final_bn").input is model.get_layer("stage3_unit4_add").output
    assert model.get_layer("final_relu").input is model.get_layer("final_bn").output
    assert model.get_layer("features").input is model.get_layer("final_relu").output


def test_wrn_takes_a_depth_and_a_width_in_the_style_of_wrn_28_10():
    model = make("wrn(depth=10, width=3)", (8, 8, 1), 10)
    assert projection_inputs(model) == [f"stage{stage}_unit1_relu1" for stage in (1, 2, 3)]
    assert model.get_layer("stage3_unit1_add").output.shape == (None, 2, 2, 192)
    assert model(tf.ones([2, 8, 8, 1])).shape == (2, 10)


def test_wrn_28_10_is_wrn_at_depth_28_and_width_10(zagoruyko):
    same = make("wrn(depth=28, width=10)", (32, 32, 3), 10)
    assert [(v.path, v.shape) for v in same.variables] == [
        (v.path, v.shape) for v in zagoruyko.variables
    ]


@pytest.mark.parametrize("depth", [4, 12, 27])
def test_a_depth_that_is_not_6n_and_4_is_refused(depth):
    with pytest.raises(UserError, match=r"6n \+ 4"):
        make(f"wrn(depth={depth})", (32, 32, 3), 10)


def test_a_width_below_one_is_refused():
    with pytest.raises(UserError, match="at least 1"):
        make("wrn(width=0)", (32, 32, 3), 10)
