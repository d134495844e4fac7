import math

import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.divergence import advice, all_finite, stagnation


def test_values_are_finite_where_no_float_is_nan_or_infinite():
    assert all_finite([np.ones(3, np.float32), tf.constant(7)])
    assert not all_finite([np.ones(3, np.float32), np.array([0, np.nan], np.float32)])
    assert not all_finite([tf.constant([np.inf], tf.bfloat16)])


@pytest.mark.parametrize("images", [(0, 255), (-300.5, 0), (0, 65535)])
def test_advice_names_the_range_of_images_that_nobody_has_scaled(images):
    low, high = images
    assert f"values from {low:g} to {high:g}: scale them" in advice(low, high)


@pytest.mark.parametrize("images", [(-1, 1), (0, 1), (-2.1, 2.6)])
def test_advice_on_scaled_images_names_rate_warm_up_and_normalization(images):
    reported = advice(*images)
    assert "scale them" not in reported
    for remedy in ("lower learning rate", "warmup_steps", "batch_norm"):
        assert remedy in reported


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize(
    ("share", "stagnates"), [(0.98, False), (0.995, True), (1.04, True), (1.1, False)]
)
def test_a_loss_near_that_of_a_guess_stagnates(classes, share, stagnates):
    losses = [share * math.log(classes)] * 100
    assert (stagnation(losses, classes) is not None) is stagnates


def test_a_few_steps_are_no_stagnation():
    assert stagnation([math.log(10)] * 49, 10) is None
    assert "over 50 steps" in stagnation([math.log(10)] * 50, 10)


def test_a_loss_that_passes_that_of_a_guess_is_no_stagnation():
    falling = np.linspace(1.25, 0.85, 60) * math.log(3)
    assert stagnation(falling, 3) is None
    exploded = [9.0] * 12 + [math.log(3)] * 48  # on the way to where it stays
    assert stagnation(exploded, 3) is not None
