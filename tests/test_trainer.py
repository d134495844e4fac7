import functools

import numpy as np
import pytest

from tests import tiny

ROWS = [("supervised", "meta"), ("pseudo_label(threshold=0.4)", "meta")]


def five_steps(method, policy, replicas, model):
    trainer = tiny.trainer(method, policy, replicas=replicas, model=model, weight_decay=1e-2)
    streams = trainer._streams(**tiny.streams())
    trainer.prepare(streams, steps=5, epoch_steps=3)
    batches = trainer.batches(streams, 0)
    _, losses, rows = trainer.train(batches, 0, 5)
    return tiny.weights(trainer), losses, rows


@pytest.mark.parametrize("norm", [None, "synchronized"])
@pytest.mark.parametrize(("method", "policy"), ROWS)
def test_two_replicas_equal_one_device_in_float64(float64, method, policy, norm):
    model = functools.partial(tiny.network, norm=norm, dropout=0.2)
    one, losses, rows = five_steps(method, policy, 1, model)
    two, losses_two, rows_two = five_steps(method, policy, 2, model)
    for number, (expected, actual) in enumerate(zip(one, two, strict=True)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10, err_msg=str(number))
    np.testing.assert_allclose(losses_two, losses, atol=1e-10)
    np.testing.assert_allclose(rows_two, rows, atol=1e-6)
    if method.startswith("pseudo_label"):
        assert 0 < (rows[:, 5] == 0).mean() < 0.5  # some rows were rejected, some accepted


@pytest.mark.parametrize("norm", [None, "synchronized"])
@pytest.mark.parametrize(("method", "policy"), ROWS)
def test_two_replicas_equal_one_device_in_float32(method, policy, norm):
    model = functools.partial(tiny.network, norm=norm)
    one, *_ = five_steps(method, policy, 1, model)
    two, *_ = five_steps(method, policy, 2, model)
    for number, (expected, actual) in enumerate(zip(one, two, strict=True)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4, err_msg=str(number))
