import numpy as np
import pytest
import tensorflow as tf

from tests.methods.by_hand import Logits, clock, reported, unmixed
from tf_metamixup import methods
from tf_metamixup.core.errors import UserError
from tf_metamixup.methods.batch import Batch

# Three unlabelled images, whose "image" is the network's logits for two classes.
CONFIDENT, WRONG, UNSURE = [4.0, 0.0], [0.0, 3.0], [0.2, 0.0]
LABELLED = [[0.0, 1.0]]


def batch(truth=(0, 0, 1)):
    u = tf.constant([CONFIDENT, WRONG, UNSURE])
    # As many labelled rows as unlabelled ones, as the streams give them.
    return Batch(
        x=tf.constant(LABELLED * 3),
        y=tf.constant([[0.0, 1.0]] * 3),
        u=u[:, None],
        u_labels=tf.constant(truth, tf.int64),
    )


forward = Logits()


def examples(method, epoch=0):
    return methods.make(method).examples(forward, batch(), clock(epoch), 1)


def test_confident_answers_become_hard_labels_and_others_are_rejected():
    made = examples("pseudo_label(threshold=0.9)")
    np.testing.assert_array_equal(made.weight, [1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(made.y[3:5], [[1, 0], [0, 1]])


def test_the_threshold_is_strict():
    probability = float(tf.nn.softmax(tf.constant(WRONG))[1])
    made = examples(f"pseudo_label(threshold={probability!r})")
    np.testing.assert_array_equal(made.weight[3:], [1, 0, 0])


def test_apl_accepts_more_once_the_threshold_has_fallen():
    method = "pseudo_label(threshold=0.95, decay=0.25, period=2)"
    accepted = [int(tf.reduce_sum(examples(method, epoch).weight[3:])) for epoch in (0, 1, 2, 4)]
    assert accepted == [2, 2, 2, 3]  # sigma: 0.95, 0.95, 0.70, 0.45; softmax: 0.98, 0.95, 0.55


def test_a_period_below_one_is_a_share_of_the_run():
    method = methods.make("pseudo_label(threshold=0.95, decay=0.25, period=0.25)")
    sigma = [float(method.sigma(clock(epoch=99, progress=p))) for p in (0.0, 0.24, 0.25, 0.5, 0.9)]
    assert sigma == pytest.approx([0.95, 0.95, 0.70, 0.45, 0.20])


def test_loss_by_hand_is_over_b_with_rejected_rows_as_zeros():
    method = methods.make("pseudo_label(threshold=0.9, weight=0.5)")
    made = method.examples(forward, batch(), clock(), 1)
    # Each row's cross-entropy is log(1 + exp(-margin)): labelled margin 1, accepted 4 and 3.
    each = [np.log1p(np.exp(-margin)) for margin in (1, 4, 3)]
    by_hand = (3 * each[0] + 0.5 * (each[1] + each[2])) / 3
    loss, _ = method.loss(forward, unmixed(made), batch(), clock())
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_the_mask_selects_rows_and_is_no_outer_product():
    # Public code multiplied a [B, 1] mask with a [B] loss, which selects nothing.
    method = methods.make("pseudo_label(threshold=0.97)")
    made = method.examples(forward, batch(), clock(), 1)
    np.testing.assert_array_equal(made.weight[3:], [1, 0, 0])
    loss = method.loss(forward, unmixed(made), batch(), clock())[0]
    np.testing.assert_allclose(loss, np.log1p(np.exp(-1)) + np.log1p(np.exp(-4)) / 3, rtol=1e-6)


def test_metrics_count_what_was_accepted_and_what_of_it_is_wrong():
    method = methods.make("pseudo_label(threshold=0.9)")
    made = method.examples(forward, batch(), clock(), 1)
    _, metrics = method.loss(forward, unmixed(made), batch(), clock())
    expected = {"threshold": 0.9, "accepted": 2 / 3, "pseudo_label_error": 50}
    assert reported(metrics) == pytest.approx(expected)


def test_images_of_unknown_truth_are_not_counted_as_wrong():
    method = methods.make("pseudo_label(threshold=0.9)")
    data = batch(truth=(-1, -1, -1))
    made = method.examples(forward, data, clock(), 1)
    wrong, known = method.loss(forward, unmixed(made), data, clock())[1]["pseudo_label_error"]
    assert (float(wrong), float(known)) == (0, 0)


def test_pool_lets_labelled_and_unlabelled_mix():
    assert set(examples("pseudo_label").pool.numpy()) == {0, 1}
    assert set(examples("pseudo_label(pool=True)").pool.numpy()) == {0}


@pytest.mark.parametrize(
    "text",
    [
        "pseudo_label(threshold=1.5)",
        "pseudo_label(decay=-0.1)",
        "pseudo_label(period=0)",
        "pseudo_label(period=0.0)",
        "pseudo_label(period=1.5)",
        "pseudo_label(weight=0.0)",
    ],
)
def test_values_out_of_range_are_reported(text):
    with pytest.raises(UserError, match="must"):
        methods.make(text)
