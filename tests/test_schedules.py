import pytest
import tensorflow as tf

from tf_metamixup.schedules import falling_threshold


@pytest.mark.parametrize(
    ("epoch", "sigma"), [(0, 0.95), (29, 0.95), (30, 0.90), (59, 0.90), (60, 0.85), (199, 0.65)]
)
def test_threshold_falls_by_sigma_d_every_period(epoch, sigma):
    assert float(falling_threshold(0.95, 0.05, 30, tf.constant(epoch))) == pytest.approx(sigma)


def test_threshold_never_falls_below_zero():
    assert float(falling_threshold(0.95, 0.2, 30, tf.constant(199))) == 0
