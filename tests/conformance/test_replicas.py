"""Every pair of method and policy on two replicas and on one device."""

import pytest

from tests.conformance import properties
from tests.conformance.pairs import PAIRS
from tests.conformance.properties import Pair


@pytest.mark.parametrize(("method", "policy"), PAIRS)
def test_two_replicas_equal_one_device(float64, method, policy):
    properties.two_replicas_equal_one_device(Pair(method, policy), Pair(method, policy, 2))
