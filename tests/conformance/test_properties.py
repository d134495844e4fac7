"""Every registered method with every policy that goes with it, against common properties.

Then the properties themselves: each must notice one deliberate mistake.
"""

import dataclasses
import re
import types

import pytest
import tensorflow as tf

from tests.conformance import properties
from tests.conformance.properties import Pair, allowed
from tf_metamixup import losses, methods, policies, trainer
from tf_metamixup.methods import method as base
from tf_metamixup.methods import pseudo_label
from tf_metamixup.methods.mean_teacher import MeanTeacher
from tf_metamixup.methods.supervised import Supervised
from tf_metamixup.mixing import Lambdas
from tf_metamixup.network import Forward, Network
from tf_metamixup.policies import Meta

# Options under which a method has something to do on 30 labelled images and in 120 steps. A method
# that is not here is tested with its defaults.
AT_THIS_SIZE = {
    "pseudo_label": "pseudo_label(threshold=0.5, decay=0.1, period=10)",
    "pi_model": "pi_model(coefficient=1.0)",
    "mean_teacher": "mean_teacher(coefficient=1.0)",
    "vat": "vat(epsilon=0.5, entropy=0.01)",
    "mixmatch": "mixmatch(coefficient=1.0, decay=0.9)",
}
# A constant lambda is in Table II alone; of 0.5 it would leave targets of two classes at once.
FIXED = "fixed(0.9)"
PAIRS = [
    (AT_THIS_SIZE.get(method, method), policy)
    for method in methods.names()
    for policy in policies.names()
    if policy != "fixed" and allowed(methods.make(method), policy)
] + [("supervised", FIXED), ("adamixup(discriminator=False)", "none")]
LEARNED = [pair for pair in PAIRS if policies.make(pair[1]).reads_meta]
# How a gradient could flow through lambda depends on the method alone.
MIXED = [pair for pair in PAIRS if pair[1] == "beta"]
SEMI_SUPERVISED = [pair for pair in PAIRS if pair[1] == "none" and methods.make(pair[0]).views]
CHOOSY = [
    (re.sub(r"threshold=[^,)]*", "threshold=1.0", method), policy)
    for method, policy in PAIRS
    if "threshold" in {field.name for field in dataclasses.fields(methods.make(method))}
]


def test_every_method_and_every_policy_is_here():
    assert {methods.parse(method).name for method, _ in PAIRS} == set(methods.names())
    assert {policies.parse(policy).name for _, policy in PAIRS} == set(policies.names())


@pytest.mark.parametrize(("method", "policy"), PAIRS)
def test_pair(method, policy, tmp_path):
    pair = Pair(method, policy)
    start = pair.weights()
    properties.one_graph_serves_all_steps(pair)
    properties.lambda_lies_where_it_must(pair)
    properties.a_restored_run_repeats_its_next_steps(pair, tmp_path)
    pair.reset(start)
    properties.the_loss_falls(pair)


@pytest.mark.parametrize(("method", "policy"), PAIRS)
def test_two_replicas_equal_one_device(float64, method, policy):
    properties.two_replicas_equal_one_device(Pair(method, policy), Pair(method, policy, 2))


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


# Deliberate mistakes.


def test_a_position_in_python_numbers_is_noticed(monkeypatch):
    monkeypatch.setattr(trainer, "_position", lambda first, count: (first, count))
    with pytest.raises(AssertionError):
        properties.one_graph_serves_all_steps(Pair("supervised", "none"))


def test_a_loss_over_the_local_batch_is_noticed(monkeypatch, float64):
    monkeypatch.setattr(base, "batch_size", lambda batch: tf.shape(batch.x)[0])
    with pytest.raises(AssertionError):
        properties.two_replicas_equal_one_device(
            Pair("supervised", "beta"), Pair("supervised", "beta", 2)
        )


def test_an_average_that_is_not_saved_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(Network, "variables", property(lambda network: network.model.variables))
    with pytest.raises(AssertionError):
        properties.a_restored_run_repeats_its_next_steps(Pair("mean_teacher", "none"), tmp_path)


def test_an_unsquashed_lambda_is_noticed(monkeypatch):
    def unsquashed(meta, task, draws):
        z = meta.start(task, draws)
        return Lambdas(z - meta.gradient(task, z), z, z)

    monkeypatch.setattr(Meta, "__call__", unsquashed)
    with pytest.raises(AssertionError):
        properties.lambda_lies_where_it_must(Pair("supervised", "meta"))


def test_a_lambda_inside_the_tape_is_noticed(monkeypatch):
    called = []
    call = properties.Given.__call__

    def recorded(policy, task, draws):
        called.append(policy)
        return call(policy, task, draws)

    def inside(method, forward, examples, partner):
        task = types.SimpleNamespace(theta=forward._theta, rows=len(examples.weight))
        return recorded(called[-1], task, None), {}

    monkeypatch.setattr(properties.Given, "__call__", recorded)
    monkeypatch.setattr(Supervised, "lambdas", inside)
    pair = Pair("supervised", "beta")
    properties.no_gradient_flows_through_lambda(pair)
    monkeypatch.setattr(Supervised, "learns_lambda", True)
    with pytest.raises(AssertionError):
        properties.no_gradient_flows_through_lambda(pair)


def test_a_weight_of_zero_on_unlabelled_images_is_noticed(monkeypatch):
    monkeypatch.setattr(MeanTeacher, "weight", lambda method, clock: tf.constant(0.0))
    with pytest.raises(AssertionError):
        properties.unlabelled_images_are_learned_from(Pair("mean_teacher", "none", norm=None))


def test_a_meta_stage_that_commits_is_noticed(monkeypatch):
    run = Forward._run

    def committing(forward, model, x):
        outputs = run(forward, model, x)
        forward._network.commit(forward.state, tf.constant(0))
        return outputs

    pair = Pair("supervised", "meta")
    monkeypatch.setattr(Forward, "_run", committing)
    with pytest.raises(AssertionError):
        properties.the_meta_stage_changes_nothing(pair)


def test_a_loss_of_the_wrong_sign_is_noticed(monkeypatch):
    right = losses.cross_entropy
    monkeypatch.setattr(losses, "cross_entropy", lambda *given: -0.01 * right(*given))
    with pytest.raises(AssertionError):
        properties.the_loss_falls(Pair("supervised", "none"))


def test_weights_over_the_number_of_accepted_rows_are_noticed(monkeypatch):
    with_guesses = pseudo_label.with_guesses

    def normalised(*given, weight, **more):
        return with_guesses(*given, weight=weight / tf.reduce_sum(weight), **more)

    monkeypatch.setattr(pseudo_label, "with_guesses", normalised)
    with pytest.raises(AssertionError):
        properties.nothing_accepted_is_finite(Pair("pseudo_label(threshold=1.0)", "none"))
