"""Every pair of method and policy against the properties that all share."""

import pytest

from tests import tiny
from tests.conformance import properties
from tests.conformance.pairs import CHOOSY, COVERING, OTHERS, PAIRS, SEMI_SUPERVISED
from tests.conformance.properties import Pair
from tf_metamixup import methods, policies


def test_every_method_and_every_policy_is_here():
    for pairs in (PAIRS, COVERING):
        assert {methods.parse(method).name for method, _ in pairs} == set(methods.names())
        assert {policies.parse(policy).name for _, policy in pairs} == set(policies.names())


@pytest.mark.parametrize(("method", "policy"), COVERING)
def test_pair(float64, method, policy, tmp_path):
    pair = Pair(method, policy)
    before = pair.trainer.evaluate(tiny.test_set())
    # What replicas share is summed within the loss of a method or the estimator of a policy.
    properties.two_replicas_equal_one_device(pair, Pair(method, policy, 2))
    properties.one_graph_serves_all_steps(pair)
    properties.lambda_lies_where_it_must(pair)
    properties.a_restored_run_repeats_its_next_steps(pair, tmp_path)
    properties.the_loss_falls(pair, before)
    if pair.trainer.policy.reads_meta:
        properties.the_meta_stage_changes_nothing(pair)


@pytest.mark.parametrize(("method", "policy"), OTHERS)
def test_a_step_of_every_other_pair(method, policy):
    pair = Pair(method, policy)
    properties.a_step_is_finite(pair)
    # How a gradient could flow through lambda depends on the method alone.
    if policy == "beta":
        properties.no_gradient_flows_through_lambda(pair)


@pytest.mark.parametrize(("method", "policy"), SEMI_SUPERVISED)
def test_unlabelled_images_are_learned_from(method, policy):
    properties.unlabelled_images_are_learned_from(Pair(method, policy, norm=None))


@pytest.mark.parametrize(("method", "policy"), CHOOSY)
def test_nothing_accepted_is_finite(method, policy):
    properties.nothing_accepted_is_finite(Pair(method, policy))
