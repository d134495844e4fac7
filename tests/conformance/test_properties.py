"""Every pair of method and policy against the properties that all share."""

import pytest

from tests.conformance import properties
from tests.conformance.pairs import (
    CHOOSY,
    COVERING,
    LEARNED,
    MIXED,
    OTHERS,
    PAIRS,
    SEMI_SUPERVISED,
)
from tests.conformance.properties import Pair
from tf_metamixup import methods, policies


def test_every_method_and_every_policy_is_here():
    for pairs in (PAIRS, COVERING):
        assert {methods.parse(method).name for method, _ in pairs} == set(methods.names())
        assert {policies.parse(policy).name for _, policy in pairs} == set(policies.names())


@pytest.mark.parametrize(("method", "policy"), COVERING)
def test_pair(float64, method, policy, tmp_path):
    pair = Pair(method, policy)
    start = pair.weights()
    # What replicas share is summed within the loss of a method or the estimator of a policy.
    properties.two_replicas_equal_one_device(pair, Pair(method, policy, 2))
    properties.one_graph_serves_all_steps(pair)
    properties.lambda_lies_where_it_must(pair)
    properties.a_restored_run_repeats_its_next_steps(pair, tmp_path)
    pair.reset(start)
    properties.the_loss_falls(pair)


@pytest.mark.parametrize(("method", "policy"), OTHERS)
def test_a_step_of_every_other_pair(method, policy):
    properties.a_step_is_finite(Pair(method, policy))


@pytest.mark.parametrize(("method", "policy"), MIXED)
def test_no_gradient_flows_through_lambda(method, policy):
    properties.no_gradient_flows_through_lambda(Pair(method, policy))


@pytest.mark.parametrize(("method", "policy"), SEMI_SUPERVISED)
def test_unlabelled_images_are_learned_from(method, policy):
    properties.unlabelled_images_are_learned_from(Pair(method, policy, norm=None))


@pytest.mark.parametrize(("method", "policy"), LEARNED)
def test_the_meta_stage_changes_nothing(method, policy):
    properties.the_meta_stage_changes_nothing(Pair(method, policy))


@pytest.mark.parametrize(("method", "policy"), CHOOSY)
def test_nothing_accepted_is_finite(method, policy):
    properties.nothing_accepted_is_finite(Pair(method, policy))
