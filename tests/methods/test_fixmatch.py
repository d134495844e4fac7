import numpy as np
import pytest
import tensorflow as tf

from tests.methods.by_hand import Logits, batch, clock, reported, unmixed
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError

LN3 = np.log(3.0)
# One labelled image, and two others in a weak and a strong view. Weak answers: 0.98 for the first
# class, and 0.55.
DATA = batch(
    x=[[1.0, 0.0]],
    y=[[1.0, 0.0]],
    views=[[[4.0, 0.0], [0.0, 2.0]], [[0.2, 0.0], [0.0, 3.0]]],
    truth=[1, 0],
)


def examples(method="fixmatch", forward=None):
    return methods.make(method).examples(forward or Logits(), DATA, clock(), 1)


def test_confident_answers_on_weak_views_label_strong_views():
    made = examples()
    np.testing.assert_array_equal(made.x, [[1, 0], [0, 2], [0, 3]])
    np.testing.assert_array_equal(made.y[:2], [[1, 0], [1, 0]])
    np.testing.assert_array_equal(made.weight, [1, 0.5, 0])  # two unlabelled per labelled


def test_the_threshold_is_reached_by_what_equals_it():
    probability = float(tf.nn.softmax(tf.constant([4.0, 0.0]))[0])
    assert examples(f"fixmatch(threshold={probability!r})").accepted.numpy().tolist()[1]
    assert not examples("fixmatch(threshold=0.99)").accepted.numpy()[1:].any()


def test_loss_by_hand_is_a_mean_over_labelled_and_one_over_all_unlabelled_images():
    method = methods.make("fixmatch(weight=3.0)")
    made = method.examples(Logits(), DATA, clock(), 1)
    loss, watched = method.loss(Logits(), unmixed(made), DATA, clock())
    by_hand = np.log1p(np.exp(-1)) + 3 * (np.log1p(np.exp(2)) + 0) / 2
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)
    assert reported(watched) == pytest.approx({"accepted": 0.5, "pseudo_label_error": 100})


def test_weak_views_share_the_pass_of_the_strong_ones_in_every_row_group():
    seen = []

    def forward(x):
        seen.append(x)
        return x

    data = DATA._replace(x=tf.repeat(DATA.x, 2, 0), y=tf.repeat(DATA.y, 2, 0))
    method = methods.make("fixmatch")
    made = method.examples(Logits(), data, clock(), 2)
    loss = method.loss(forward, unmixed(made), data, clock())[0]
    (rows,) = seen
    group = [[1, 0], [0, 2], [4, 0]], [[1, 0], [0, 3], [0.2, 0]]
    np.testing.assert_allclose(rows, np.concatenate(group))
    by_hand = np.log1p(np.exp(-1)) + np.log1p(np.exp(2)) / 2
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


@pytest.mark.parametrize("name", ["fixmatch", "pseudo_label"])
def test_alignment_moves_answers_towards_the_labels_shares(name):
    memory = {"predicted": tf.constant([0.9, 0.1]), "labelled": tf.constant([0.5, 0.5])}
    answer = batch([[0.0, 0.0]], [[0.0, 1.0]], [[[LN3, 0.0], [0.0, 0.0]]])
    method = methods.make(f"{name}(align=True, threshold=0.0)")
    made = method.examples(Logits(memory=memory), answer, clock(), 1)
    # Running means move by 1/128: to (0.75, 0.25) and to the label (0, 1).
    predicted = [0.9 - 0.15 / 128, 0.1 + 0.15 / 128]
    labelled = [0.5 - 0.5 / 128, 0.5 + 0.5 / 128]
    np.testing.assert_allclose(made.memory["predicted"], predicted, rtol=1e-6)
    np.testing.assert_allclose(made.memory["labelled"], labelled, rtol=1e-6)
    # 3/4 * 0.55 against 1/4 * 5: the other class is the answer now.
    np.testing.assert_array_equal(made.y[1], [0, 1])


def test_a_free_threshold_follows_confidence_class_by_class():
    method = methods.make("freematch(decay=0.5)")
    memory = {name: tf.constant(value) for name, value in method.memory(2).items()}
    answers = [[np.log(9.0), 0.0], [np.log(1.5), 0.0]]  # (0.9, 0.1) and (0.6, 0.4)
    data = batch([[1.0, 0.0]], [[1.0, 0.0]], [[answer, [0.0, 0.0]] for answer in answers])
    made = method.examples(Logits(memory=memory), data, clock(step=8), 1)
    np.testing.assert_allclose(made.memory["tau"], 0.625)  # half of 1/2 and half of 0.75
    np.testing.assert_allclose(made.memory["p"], [0.625, 0.375])
    np.testing.assert_allclose(made.memory["predicted"], [0.625, 0.375])
    np.testing.assert_allclose(made.memory["answers"], [0.75, 0.25])
    # The threshold of the first class, which has the largest p, is tau.
    np.testing.assert_array_equal(made.accepted, [True, True, False])


def test_a_free_threshold_follows_the_first_steps_at_once():
    """Of the initial thresholds, which accept every guess, a tenth is left after one step."""
    method = methods.make("freematch")
    memory = {name: tf.constant(value) for name, value in method.memory(2).items()}
    probs = tf.constant([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    weight, new = method.weigh(probs, Logits(memory=memory), clock(step=0))
    np.testing.assert_allclose(new["tau"], 0.1 * 0.5 + 0.9 * 2.2 / 3, rtol=1e-6)
    np.testing.assert_array_equal(weight, [1, 0, 0])
    np.testing.assert_allclose(new["answers"], [0.5005, 0.4995], rtol=1e-6)
    later = method.weigh(probs, Logits(memory=memory), clock(step=10**6))[1]
    np.testing.assert_allclose(later["tau"], 0.999 * 0.5 + 0.001 * 2.2 / 3, rtol=1e-6)


def test_fairness_by_hand():
    method = methods.make("freematch")
    memory = {"predicted": tf.constant([0.625, 0.375]), "answers": tf.constant([0.75, 0.25])}
    probs = tf.constant([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])
    unfairness = method.unfairness(probs, tf.constant([True, True, False]), memory)
    # w: 5/6 and 3/2, normalized; v: (1.1, 0.9) over one answer each, normalized.
    by_hand = (5 / 14) * np.log(0.55) + (9 / 14) * np.log(0.45)
    np.testing.assert_allclose(unfairness, by_hand, rtol=1e-6)
    assert float(method.unfairness(probs, tf.zeros([3], tf.bool), memory)) == 0
    # A class that has not been the answer for very long has no share of w.
    never = memory | {"answers": tf.constant([1.0, 0.0])}
    found = method.unfairness(probs, tf.constant([True, True, False]), never)
    np.testing.assert_allclose(found, np.log(0.55), rtol=1e-6)


def test_soft_weights_fall_off_below_the_mean_confidence():
    method = methods.make("softmatch(decay=0.5)")
    memory = {name: tf.constant(value) for name, value in method.memory(2).items()}
    answers = [[np.log(3.0), 0.0], [0.0, np.log(3.0)]]  # (3/4, 1/4) and (1/4, 3/4)
    probs = tf.nn.softmax(tf.constant([*answers, [0.0, 0.0]], tf.float32))
    weight, new = method.weigh(probs, Logits(memory=memory), clock(step=8))
    # Shares are equal already: confidences 3/4, 3/4 and 1/2, of mean 2/3 and variance 1/72.
    np.testing.assert_allclose(new["predicted"], [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(new["mean"], (1 / 2 + 2 / 3) / 2, rtol=1e-6)
    np.testing.assert_allclose(new["variance"], (1 + 1 / 72) / 2, rtol=1e-5)
    below = (1 / 2 - 7 / 12) ** 2 / (2 * (73 / 144) / 4)
    np.testing.assert_allclose(weight, [1, 1, np.exp(-below)], rtol=1e-5)
    _, first = method.weigh(probs, Logits(memory=memory), clock(step=0))
    np.testing.assert_allclose(first["mean"], 0.1 / 2 + 0.9 * 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(first["variance"], 0.1 + 0.9 / 72, rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "fixmatch(threshold=1.5)",
        "fixmatch(weight=0.0)",
        "freematch(fairness=-1.0)",
        "softmatch(sigmas=0.0)",
    ],
)
def test_values_out_of_range_are_reported(text):
    with pytest.raises(UserError, match="must"):
        methods.make(text)


def test_the_variance_of_equal_confidences_is_never_negative():
    method = methods.make("softmatch")
    memory = {name: tf.constant(value) for name, value in method.memory(10).items()}
    probs = tf.fill([448, 10], 0.1)  # E[p^2] - E[p]^2 is -2e-9 in float32
    for step in range(200):
        weight, memory = method.weigh(probs, Logits(memory=memory), clock(step=step))
    assert float(memory["variance"]) >= 0 and float(tf.reduce_max(weight)) <= 1
