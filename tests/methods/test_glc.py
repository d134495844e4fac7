import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_metamixup import losses, methods
from tf_metamixup.core import label_trust
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import ArrayStream, Audited
from tf_metamixup.data.joined_stream import JoinedStream
from tf_metamixup.methods.batch import Batch
from tf_metamixup.methods.glc import GoldLossCorrection
from tf_metamixup.mixing import Mixture

# Of class 0 a quarter is called 1, of class 1 two fifths are called 0.
TRANSITION = tf.constant([[0.75, 0.25], [0.4, 0.6]])
GIVEN = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
UNTRUSTED = tf.constant([True, True, False])
LOGITS = tf.constant([[2.0, -1.0], [0.5, 0.3], [0.1, 0.4]])


def batch(estimated):
    state = {"transition": TRANSITION, "estimated": tf.constant(estimated)}
    targets, judged = GoldLossCorrection().relabel(GIVEN, UNTRUSTED, tf.range(3), state)
    return Batch(x=tf.zeros((3, 1)), y=targets, **judged)


def loss(made, partner, lam):
    method = GoldLossCorrection()
    examples = method.examples(None, made, None, groups=1)
    mixture = Mixture(examples, tf.constant(partner), tf.constant(lam))
    return method.loss(lambda x: LOGITS, mixture, made, None)[0].numpy()


def test_untrusted_rows_are_corrected_by_the_column_of_their_label_and_trusted_ones_are_not():
    p = tf.nn.softmax(LOGITS).numpy()
    each = [
        -np.log(0.75 * p[0, 0] + 0.4 * p[0, 1]),
        -np.log(0.25 * p[1, 0] + 0.6 * p[1, 1]),
        -np.log(p[2, 0]),
    ]
    made = batch(estimated=1.0)
    np.testing.assert_allclose(loss(made, [0, 1, 2], [1.0, 1.0, 1.0]), np.mean(each), rtol=1e-6)


def test_a_mixed_row_is_corrected_for_each_of_its_two_labels():
    p = tf.nn.softmax(LOGITS).numpy()
    each = [
        -0.7 * np.log(0.75 * p[0, 0] + 0.4 * p[0, 1]) - 0.3 * np.log(p[0, 0]),
        -0.6 * np.log(0.25 * p[1, 0] + 0.6 * p[1, 1])
        - 0.4 * np.log(0.75 * p[1, 0] + 0.4 * p[1, 1]),
        -0.9 * np.log(p[2, 0]) - 0.1 * np.log(0.25 * p[2, 0] + 0.6 * p[2, 1]),
    ]
    made = batch(estimated=1.0)
    np.testing.assert_allclose(loss(made, [2, 0, 1], [0.7, 0.6, 0.9]), np.mean(each), rtol=1e-6)


def test_where_labels_never_go_wrong_it_is_mixups_loss():
    made = batch(estimated=1.0)._replace(likelihood=GIVEN)
    examples = GoldLossCorrection().examples(None, made, None, groups=1)
    mixture = Mixture(examples, tf.constant([2, 0, 1]), tf.constant([0.7, 0.6, 0.9]))
    expected = losses.cross_entropy(mixture.y, LOGITS).numpy().mean()
    np.testing.assert_allclose(loss(made, [2, 0, 1], [0.7, 0.6, 0.9]), expected, rtol=1e-6)


def test_trusted_rows_are_left_out_until_the_matrix_is_estimated():
    made = batch(estimated=0.0)
    assert not GoldLossCorrection().examples(None, made, None, groups=1).accepted[2]
    p = tf.nn.softmax(LOGITS).numpy()
    found = loss(
        made._replace(likelihood=tf.where(UNTRUSTED[:, None], GIVEN, 1.0)), [0, 1, 2], [1.0] * 3
    )
    np.testing.assert_allclose(found, -(np.log(p[0, 0]) + np.log(p[1, 1])) / 3, rtol=1e-6)


def test_the_matrix_is_estimated_once_from_predictions_on_trusted_images():
    pixels, truth = tiny.images(60)
    labelled = JoinedStream(
        ArrayStream(pixels, truth, np.arange(40), batch_size=12, seed=0, purpose="labelled"),
        ArrayStream(pixels, truth, np.arange(40, 60), batch_size=4, seed=0, purpose="trusted"),
    )
    audited = Audited(pixels[40:], truth[40:])
    trainer = tiny.trainer("glc(start=0.5)", "none", row_groups=1)
    graphs = trainer.graphs(labelled=labelled, audited=audited, epoch_steps=4, steps=16)
    assert graphs.steps_until_audit(0) == 8 and graphs.steps_until_audit(8) == np.inf
    batches = graphs.batches(0)
    graphs.train(batches, 0, 8)
    expected = label_trust.transition(trainer.predict(pixels[40:]), truth[40:])
    graphs.train(batches, 8, 1)
    transition, estimated = (np.asarray(variable) for variable in graphs.variables[-2:])
    np.testing.assert_allclose(transition, expected, rtol=1e-5)
    assert estimated == 1


def test_the_share_lies_between_0_and_1():
    for start in (0.0, 1.0):
        with pytest.raises(UserError, match=rf"start={start}.*must lie in"):
            methods.make(f"glc(start={start})")
