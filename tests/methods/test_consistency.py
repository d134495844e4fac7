import numpy as np
import pytest
import tensorflow as tf

from tests.methods.by_hand import Logits, batch, clock, reported, unmixed
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError
from tf_metamixup.mixing import Mixture

LN3 = np.log(3.0)
# One labelled row, p = (3/4, 1/4), labelled second class. Two unlabelled images of two views each:
# the first view answers (1/2, 1/2); the other one (3/4, 1/4) and (1/4, 3/4).
DATA = batch(
    x=[[LN3, 0.0]] * 2,
    y=[[0.0, 1.0]] * 2,
    views=[[[0.0, 0.0], [LN3, 0.0]], [[0.0, 0.0], [0.0, LN3]]],
    truth=[0, 0],
)


def loss(text, progress=1.0):
    method = methods.make(text)
    made = method.examples(Logits(), DATA, clock(), 1)
    value, watched = method.loss(Logits(), unmixed(made), DATA, clock(progress=progress))
    return float(value), reported(watched)


def test_pi_model_by_hand():
    # Squared error of (1/2, 1/2) against (3/4, 1/4): 1/16 in each class.
    value, watched = loss("pi_model(coefficient=20.0)")
    assert watched["labelled_loss"] == pytest.approx(np.log(4))
    assert watched["consistency_loss"] == pytest.approx(1 / 16)
    assert value == pytest.approx(np.log(4) + 20 / 16)


def test_mean_teacher_by_hand():
    # The averaged network doubles its logits: it answers (9/10, 1/10).
    value, watched = loss("mean_teacher(coefficient=8.0)")
    assert watched["consistency_loss"] == pytest.approx(0.16)
    assert value == pytest.approx(np.log(4) + 8 * 0.16)


@pytest.mark.parametrize(("text", "most"), [("pi_model", 20), ("mean_teacher", 8)])
def test_the_weight_rises_like_a_sigmoid_over_two_fifths_of_the_run(text, most):
    weights = [loss(text, progress)[1]["consistency_weight"] for progress in (0.0, 0.2, 0.4, 0.9)]
    assert weights == pytest.approx([most * np.exp(-5), most * np.exp(-1.25), most, most])


def test_no_gradient_flows_into_the_teacher():
    views = tf.Variable(DATA.u)
    with tf.GradientTape() as tape:
        data = DATA._replace(u=views)
        made = methods.make("pi_model").examples(Logits(), data, clock(), 1)
        target = tf.reduce_sum(made.y**2)
    assert tape.gradient(target, views) is None


def test_mixed_by_half_images_and_guesses_meet_in_the_middle():
    method = methods.make("pi_model(coefficient=1.0)")
    made = method.examples(Logits(), DATA, clock(), 1)
    halved = Mixture(made, tf.constant([1, 0, 3, 2]), tf.fill([4], 0.5))
    _, watched = method.loss(Logits(), halved, DATA, clock(progress=1.0))
    # Both guesses become (1/2, 1/2), which is what the network answers.
    assert reported(watched)["consistency_loss"] == pytest.approx(0, abs=1e-12)


def test_guesses_of_known_truth_are_counted():
    _, watched = loss("mean_teacher")
    assert (watched["accepted"], watched["pseudo_label_error"]) == (1, 50)


@pytest.mark.parametrize(
    "text",
    ["pi_model(coefficient=-1.0)", "pi_model(ramp=1.5)", "mean_teacher(decay=1.0)"],
)
def test_values_out_of_range_are_reported(text):
    with pytest.raises(UserError, match="must"):
        methods.make(text)
