import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.methods.by_hand import Logits, batch, clock
from tf_metamixup import methods
from tf_metamixup.core import label_trust
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import ArrayStream
from tf_metamixup.methods.label_judge import Evidence

METHOD = methods.make("audited_pseudo_label(folds=2)")


def evidence(round=0, last=False):
    """Six labelled images: of the even ones guesses of class 0 are right and of class 1 wrong."""
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0.5, 0.5], [0.8, 0.2], [0.5, 0.5]])
    given = np.array([0, 1, 0, 1, 0, 1])
    return Evidence(p, given, np.ones(6, bool), None, np.random.default_rng(0), round, last)


def test_the_part_that_is_held_out_is_asked_and_then_trained_on():
    judged = METHOD.judge(evidence())
    even = evidence().probabilities[::2]
    inputs = label_trust.features(even, np.array([0, 1, 0]))
    by_hand = label_trust.fit(inputs, np.array([True, False, True]))
    np.testing.assert_allclose(judged["regression"], by_hand)
    assert judged["held_out"] == 1
    assert METHOD.judge(evidence(round=1))["held_out"] == 0
    assert METHOD.judge(evidence(last=True))["held_out"] == -1


def test_rows_that_are_held_out_have_no_weight_and_guesses_need_a_probability():
    regression = np.zeros(7, np.float32)
    regression[2] = 1.0  # sigmoid of the margin
    given, more = METHOD.relabel(
        tf.eye(2),
        None,
        tf.constant([4, 7]),
        {"regression": tf.constant(regression), "held_out": tf.constant(0.0)},
    )
    data = batch(
        x=[[1.0, 0.0], [0.0, 1.0]],
        y=given.numpy(),
        # Probabilities 0.953 and 0.731: margins 0.905 and 0.462, sigmoids 0.712 and 0.613.
        views=[[[3.0, 0.0]], [[0.0, 1.0]]],
    )._replace(**more)
    made = METHOD.examples(Logits(), data, clock(), 1)
    np.testing.assert_array_equal(made.weight, [0, 1, 1, 0])
    np.testing.assert_array_equal(made.y[2], [1, 0])
    more["trust"] = METHOD.relabel(given, None, tf.constant([4, 7]), METHOD_AFTER)[1]["trust"]
    np.testing.assert_array_equal(more["trust"], [1, 1])


METHOD_AFTER = {"regression": tf.zeros(7), "held_out": tf.constant(-1.0)}


def test_before_the_first_audit_a_guess_needs_a_margin():
    regression = tf.constant(METHOD.unjudged(6, 3)["regression"], tf.float32)
    probs = tf.constant([[0.96, 0.03, 0.01], [0.92, 0.06, 0.02]])
    data = batch([[0.0]], [[0.0]], [[[0.0]]])._replace(guess_regression=regression)
    np.testing.assert_array_equal(METHOD.weigh(probs, None, data, clock())[0], [1, 0])


def test_features_in_a_step_are_those_of_the_audit():
    p = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0], 5)
    guess = p.argmax(axis=1)
    in_step = label_trust.features_of(tf.constant(p, tf.float32), tf.constant(guess))
    np.testing.assert_allclose(in_step, label_trust.features(p, guess), rtol=1e-4, atol=1e-6)


def test_a_run_audits_its_guesses_and_trains_on_all_labels_at_the_end():
    pixels, labels = tiny.images(60)
    make = {"batch_size": 10, "seed": 0}
    labelled = ArrayStream(pixels, labels, np.arange(20), purpose="labelled", **make)
    unlabelled = ArrayStream(
        pixels, labels, np.arange(20, 60), purpose="unlabelled", views=1, **make
    )
    trainer = tiny.trainer("audited_pseudo_label(folds=2, period=0.25)", "none", row_groups=1)
    graphs = trainer.graphs(labelled=labelled, unlabelled=unlabelled, epoch_steps=4, steps=8)
    assert graphs.steps_until_audit(0) == 2
    batches = graphs.batches(0)
    held = []
    for step in (0, 2, 4, 6):
        graphs.train(batches, step, 2)
        held.append(np.asarray(graphs.variables[-1]).item())
    assert held == [0, 1, 0, -1]
    assert np.isfinite(graphs.variables[-2]).all()


@pytest.mark.parametrize("wrong", ["folds=1", "right=1.5", "period=0.0", "weight=0.0"])
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(UserError, match=wrong.partition("=")[0]):
        methods.make(f"audited_pseudo_label({wrong})")
