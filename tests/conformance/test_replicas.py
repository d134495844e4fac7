"""Every method and every policy on two replicas and on one device.

What the replicas share is summed within the loss of a method or the estimator of a policy.
"""

import pytest

from tests.conformance import properties
from tests.conformance.pairs import COVERING
from tests.conformance.properties import Pair


@pytest.mark.parametrize(("method", "policy"), COVERING)
def test_two_replicas_equal_one_device(float64, method, policy):
    properties.two_replicas_equal_one_device(Pair(method, policy), Pair(method, policy, 2))
