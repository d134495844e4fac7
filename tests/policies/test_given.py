import numpy as np
import pytest
import tensorflow as tf

from tests.policies.by_hand import DRAWS, task
from tf_metamixup import methods, policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws


def test_none_is_ones():
    np.testing.assert_array_equal(policies.make("none")(task(), DRAWS).value, np.ones(4))


def test_fixed_is_its_value_in_every_row():
    np.testing.assert_allclose(policies.make("fixed(0.3)")(task(), DRAWS).value, [0.3] * 4)


def test_beta_is_one_lambda_a_batch_unless_asked():
    assert len(set(policies.make("beta")(task(), DRAWS).value.numpy())) == 1
    assert len(set(policies.make("beta(per_sample=True)")(task(), DRAWS).value.numpy())) == 4


def test_beta_of_a_batch_is_the_same_on_every_replica():
    first, second = (
        policies.make("beta(0.4)")(task(), Draws.at(0, tf.constant(1), shard, 2)).value[0]
        for shard in (0, 1)
    )
    assert first == second


def test_policies_that_do_not_learn_move_nothing():
    for text in ("none", "fixed", "beta", "beta(per_sample=True)"):
        lambdas = policies.make(text)(task(), DRAWS)
        np.testing.assert_array_equal(lambdas.move, np.zeros(4))
        np.testing.assert_array_equal(lambdas.start, lambdas.value)


@pytest.mark.parametrize(
    ("method", "mix_until", "says"),
    [
        ("supervised", 0.0, r"mix_until=0.0 must lie in \(0, 1\]"),
        ("supervised", 0.8, "no effect"),
        ("adamixup", 0.8, "learns lambda itself"),
    ],
)
def test_a_share_of_the_run_that_cannot_be_mixed_is_refused(method, mix_until, says):
    policy = policies.make("none")
    with pytest.raises(UserError, match=says):
        policies.check(policy, methods.make(method), mix_until=mix_until)
