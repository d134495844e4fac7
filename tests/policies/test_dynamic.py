import numpy as np
import pytest
import tensorflow as tf

from tests.policies.by_hand import DRAWS, task
from tf_metamixup import methods, policies
from tf_metamixup.core.errors import UserError

PARTNER = [1, 2, 0, 3]


def mixed(trust, alpha=1.0):
    lam = policies.make(f"beta({alpha}, per_sample=True)")(task(), DRAWS).value.numpy()
    given = task(trust=tf.constant(trust, tf.float32), partner=tf.constant(PARTNER))
    return lam, policies.make(f"dynamic({alpha})")(given, DRAWS).value.numpy()


def test_rows_that_are_trusted_alike_are_mixed_as_by_beta():
    lam, found = mixed([0.3, 0.3, 0.3, 0.3], alpha=0.5)
    np.testing.assert_allclose(found, lam, rtol=1e-6)


def test_lambda_is_weighed_by_the_trust_of_both_rows():
    lam, found = mixed([1.0, 0.05, 0.5, 1.0])
    ours, theirs = np.array([1.0, 0.05, 0.5, 1.0]), np.array([0.05, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(found, lam * ours / (lam * ours + (1 - lam) * theirs), rtol=1e-6)


def test_a_method_that_says_nothing_of_trust_is_refused():
    with pytest.raises(UserError, match="--method=audit or small_loss"):
        policies.check(policies.make("dynamic"), methods.make("supervised"))
