import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.schedules import (
    WarmUp,
    falling_threshold,
    linear_ramp,
    sigmoid_ramp,
    steps_before,
    warm_up,
)


@pytest.mark.parametrize(
    ("epoch", "sigma"), [(0, 0.95), (29, 0.95), (30, 0.90), (59, 0.90), (60, 0.85), (199, 0.65)]
)
def test_threshold_falls_by_sigma_d_every_period(epoch, sigma):
    assert float(falling_threshold(0.95, 0.05, 30, tf.constant(epoch))) == pytest.approx(sigma)


def test_threshold_never_falls_below_zero():
    assert float(falling_threshold(0.95, 0.2, 30, tf.constant(199))) == 0


def test_ramps_rise_to_one_over_their_share_of_the_run():
    progress = tf.constant([0.0, 0.1, 0.2, 0.4, 0.9])
    assert linear_ramp(0.4, progress).numpy() == pytest.approx([0, 0.25, 0.5, 1, 1])
    expected = [np.exp(-5), np.exp(-5 * 0.75**2), np.exp(-1.25), 1, 1]
    assert sigmoid_ramp(0.4, progress).numpy() == pytest.approx(expected)


@pytest.mark.parametrize("ramp", [linear_ramp, sigmoid_ramp])
def test_a_ramp_of_no_length_is_over_at_once(ramp):
    assert ramp(0.0, tf.constant([0.0, 0.5])).numpy() == pytest.approx([1, 1])


def test_a_warm_up_rises_linearly_and_reaches_the_whole_rate():
    rates = [float(WarmUp(0.1, 4)(step)) for step in range(6)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_a_warm_up_follows_the_schedule_that_it_is_given():
    cosine = keras.optimizers.schedules.CosineDecay(0.1, 10)
    warmed = WarmUp(cosine, 4)
    for step, share in [(0, 0.25), (2, 0.75), (3, 1), (7, 1), (10, 1)]:
        assert float(warmed(step)) == pytest.approx(share * float(cosine(step)))
    assert json.loads(json.dumps(warmed.get_config()))["warmup_steps"] == 4


def test_no_steps_of_warm_up_leave_the_rate_as_it_is():
    assert warm_up(0.1, 0) == 0.1


@pytest.mark.parametrize(("share", "steps"), [(0.55, 100), (0.57, 100), (0.8, 7), (1.0, 3)])
def test_the_steps_before_a_share_of_the_run_are_counted_as_the_clock_decides_them(share, steps):
    progress = tf.cast(tf.range(steps) / steps, tf.float32)  # as `Graphs.clock` has it
    assert steps_before(share, steps) == np.count_nonzero(progress < share)
