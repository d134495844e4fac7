"""The properties themselves: each notices one deliberate mistake."""

import types

import pytest
import tensorflow as tf

from tests import tiny
from tests.conformance import properties
from tests.conformance.properties import Pair
from tf_metamixup import losses
from tf_metamixup.methods import guessing
from tf_metamixup.methods import method as base
from tf_metamixup.methods.mean_teacher import MeanTeacher
from tf_metamixup.methods.supervised import Supervised
from tf_metamixup.mixing import Lambdas
from tf_metamixup.models.network import Forward, Network
from tf_metamixup.policies.meta import Meta
from tf_metamixup.training import graphs


def test_a_position_in_python_numbers_is_noticed(monkeypatch):
    monkeypatch.setattr(graphs, "_position", lambda first, count: (first, count))
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
        z = meta.initial_logits(task, draws)
        return Lambdas(z - meta.gradient(task, z), z, z)

    monkeypatch.setattr(Meta, "__call__", unsquashed)
    with pytest.raises(AssertionError):
        properties.lambda_lies_where_it_must(Pair("supervised", tiny.EXACT))


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

    pair = Pair("supervised", tiny.EXACT)
    monkeypatch.setattr(Forward, "_run", committing)
    with pytest.raises(AssertionError):
        properties.the_meta_stage_changes_nothing(pair)


def test_a_loss_of_the_wrong_sign_is_noticed(monkeypatch):
    right = losses.cross_entropy
    monkeypatch.setattr(losses, "cross_entropy", lambda *given: -0.01 * right(*given))
    with pytest.raises(AssertionError):
        properties.the_loss_falls(Pair("supervised", "none"))


def test_weights_over_the_number_of_accepted_rows_are_noticed(monkeypatch):
    with_guesses = guessing.with_guesses

    def normalized(*given, weight, **more):
        return with_guesses(*given, weight=weight / tf.reduce_sum(weight), **more)

    monkeypatch.setattr(guessing, "with_guesses", normalized)
    with pytest.raises(AssertionError):
        properties.nothing_accepted_is_finite(Pair("pseudo_label(threshold=1.0)", "none"))
