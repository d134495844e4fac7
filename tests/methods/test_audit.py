import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_metamixup import losses, methods
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import ArrayStream, Audited
from tf_metamixup.methods.audit import Audit
from tf_metamixup.methods.batch import Batch
from tf_metamixup.methods.label_judge import Checked, Evidence
from tf_metamixup.mixing import Mixture

GIVEN = tf.constant([[1.0, 0.0], [0.0, 1.0]])
RIGHT = tf.constant([0.75, 0.1])
GUESS = tf.constant([[0.8, 0.2], [0.9, 0.1]])


def test_targets_and_trust_are_those_of_the_formula():
    targets, trust = Audit().corrected(GIVEN, RIGHT, GUESS)
    np.testing.assert_allclose(targets, [[0.95, 0.05], [0.81, 0.19]], rtol=1e-6)
    np.testing.assert_allclose(trust, [0.8, 0.9], rtol=1e-6)


def test_before_the_first_audit_every_label_counts_as_right():
    targets, trust = Audit().corrected(GIVEN, tf.ones(2), tf.zeros((2, 2)))
    np.testing.assert_array_equal(targets, GIVEN)
    np.testing.assert_array_equal(trust, [1, 1])


def test_targets_stay_as_given_where_they_are_switched_off_and_trust_has_a_floor():
    targets, trust = Audit(targets=False, floor=0.5).corrected(GIVEN, RIGHT, GUESS / 10)
    np.testing.assert_array_equal(targets, GIVEN)
    np.testing.assert_allclose(trust, [0.75, 0.5])


def test_the_loss_weighs_rows_by_the_trust_of_what_they_are_mixed_of():
    logits = tf.constant([[2.0, -1.0], [0.5, 0.3]])
    batch = Batch(x=tf.zeros((2, 1)), y=GIVEN, trust=tf.constant([1.0, 0.25]))
    method = Audit()
    examples = method.examples(None, batch, None, groups=1)
    mixture = Mixture(examples, tf.constant([1, 0]), tf.constant([0.6, 0.2]))
    weight = np.array([0.6 * 1 + 0.4 * 0.25, 0.2 * 0.25 + 0.8 * 1])
    each = losses.cross_entropy(mixture.y, logits).numpy()
    loss, watched = method.loss(lambda x: logits, mixture, batch, None)
    np.testing.assert_allclose(loss, np.mean(weight / weight.mean() * each), rtol=1e-6)
    assert watched["trust"][0] / watched["trust"][1] == 0.625
    plain, _ = Audit(weights=False).loss(lambda x: logits, mixture, batch, None)
    np.testing.assert_allclose(plain, each.mean(), rtol=1e-6)


def test_labels_are_audited_from_a_quarter_of_the_run_on():
    times = [300, 400, 500, 600, 700, 800, 900, 1000, 1100]
    assert Audit().audit_steps(1200, epoch_steps=16) == times
    assert Audit(start=0.5, period=0.25).audit_steps(8, epoch_steps=0.1) == [4, 6]
    assert all(0 < step < 5 for step in Audit().audit_steps(5, epoch_steps=5))


def test_in_many_epochs_labels_are_audited_before_they_are_memorized():
    steps = Audit().audit_steps(1200, epoch_steps=4)
    assert steps[0] == 80 and set(np.diff(steps)) == {28} and steps[-1] == 1200 - 28
    assert Audit(start=0.25, period=1 / 12).audit_steps(1200, epoch_steps=4)[:2] == [300, 400]


@pytest.mark.parametrize("text", ["audit(start=0.0)", "audit(period=0.0)", "audit(floor=2.0)"])
def test_shares_lie_between_0_and_1(text):
    with pytest.raises(UserError, match="must lie in"):
        methods.make(text)


def test_later_audits_count_for_more_in_their_average(monkeypatch):
    found = iter([(np.array([0.2, 0.6]), np.eye(2)), (np.array([0.5, 0.9]), np.eye(2))])
    monkeypatch.setattr(Audit, "assess", lambda self, evidence: next(found))
    evidence = Evidence(None, None, np.array([True, False]), None)
    method, state, last = Audit(), Audit().initial_state(2, 2), np.array([0.8, 0.6])
    np.testing.assert_allclose(method.averaged(state, last), last)
    for _ in range(2):
        state = method.judge(evidence, state)
    assert state["right"].tolist() == [0.5, 1.0]  # a checked label is right
    by_hand = [(0.2 + 2 * 0.5 + 3 * 0.8) / 6, (0.6 + 2 * 0.9 + 3 * 0.6) / 6]
    np.testing.assert_allclose(method.averaged(state, last), by_hand, rtol=1e-12)


@pytest.fixture(scope="module")
def run():
    """A run of 100 steps behind its first audit, at step 50, and what it trains on.

    A quarter of the labels is wrong; audited images are others than those in doubt.
    """
    pixels, truth = tiny.images(240)
    generator = np.random.default_rng(0)
    given = np.where(generator.random(240) < 0.25, (truth + 1) % tiny.CLASSES, truth)
    rows, checked = np.arange(180), np.arange(180, 240)
    labelled = ArrayStream(pixels, given, rows, batch_size=20, seed=0, purpose="labelled")
    audited = Audited(pixels[checked], truth[checked], given[checked])

    def graphs():
        trainer = tiny.trainer("audit(start=0.5)", "dynamic", row_groups=1, learning_rate=0.02)
        data = {"labelled": labelled, "audited": audited}
        return trainer, trainer.graphs(**data, epoch_steps=9, steps=100)

    trainer, first = graphs()
    batches = first.batches(0)
    first.train(batches, 0, 50)
    first.train(batches, 50, 1)
    return trainer, first, graphs, truth[rows], given[rows]


def test_labels_that_were_made_wrong_are_found_and_corrected(run):
    trainer, graphs, _, truth, given = run
    right, guess = (graphs.label_audit.state[name] for name in ("right", "guess"))
    wrong = given != truth
    pairs = right[~wrong][:, None] > right[wrong][None]
    assert pairs.mean() > 0.95  # the area under the ROC curve
    targets, _ = trainer.method.corrected(np.eye(3)[given], right, guess)
    better = np.argmax(targets, axis=1) == truth
    assert better.mean() > (~wrong).mean() + 0.05


def test_a_resumed_run_goes_on_with_what_the_last_audit_found(run):
    _, graphs, make, _, _ = run
    _, resumed = make()
    for variable, value in zip(resumed.variables, graphs.variables, strict=True):
        variable.assign(np.asarray(value))
    for each in (graphs, resumed):
        batches = each.batches(51)
        each.train(batches, 51, 7)
        each.train(batches, 58, 2)  # the second audit
    for one, other in zip(graphs.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), one.path)


def test_a_data_set_that_does_not_know_its_images_is_refused():
    trainer = tiny.trainer("audit", "beta")
    images, labels = tiny.images(16)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    with pytest.raises(UserError, match="to identify each image"):
        trainer.graphs(labelled=dataset, audited=Audited(images, labels), epoch_steps=2, steps=2)


def test_a_class_that_the_network_does_not_know_yet_is_not_taken_to_be_absent():
    """Of three classes the network never predicts the last; a fifth of the labels is wrong."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 600)
    wrong = generator.random(600) < 0.2
    given = np.where(wrong, (truth + generator.integers(1, 3, 600)) % 3, truth)
    known = np.array([[0.96, 0.03, 0.01], [0.03, 0.96, 0.01], [0.44, 0.44, 0.12]])
    p = generator.dirichlet([1, 1, 1], 600) * 0.02 + known[truth] * 0.98
    checked = Checked(p[:60], truth[:60], given[:60])
    everything = np.ones(540, bool)
    found = Evidence(p[60:], given[60:], everything, checked)
    right, classes = Audit().assess(found)
    last = truth[60:] == 2
    assert (p[60:][last].argmax(axis=1) != 2).all()
    assert right[last & ~wrong[60:]].mean() > 0.9
    assert right[last & wrong[60:]].mean() < 0.5
    assert (classes[last & ~wrong[60:]].argmax(axis=1) == 2).all()


def test_a_wrong_label_is_replaced_by_the_class_that_it_was_made_of():
    """All that is wrong with labels is that a third of class 0 is called 1."""
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 900)
    wrong = (truth == 0) & (generator.random(900) < 1 / 3)
    given = np.where(wrong, 1, truth)
    p = np.eye(3)[truth] * 0.94 + 0.02
    # The network takes them for class 2, which is never called 1.
    p[wrong] = [0.47, 0.04, 0.49]
    checked = Checked(p[:90], truth[:90], given[:90])
    found = Evidence(p[90:], given[90:], np.ones(810, bool), checked)
    right, classes = Audit().assess(found)
    np.testing.assert_array_equal(right > 0.5, ~wrong[90:])
    np.testing.assert_array_equal(classes.argmax(axis=1), truth[90:])


def test_right_labels_count_as_right_where_checked_images_have_no_given_label():
    """A network that is never sure, and right of 86 % of checked images and 93 % of the others."""
    generator = np.random.default_rng(2)
    truth = generator.integers(0, 3, 1200)
    known = generator.random(1200) < np.where(np.arange(1200) < 200, 0.86, 0.93)
    p = np.eye(3)[np.where(known, truth, (truth + 1) % 3)] * 0.55 + 0.15
    checked = Checked(p[:200], truth[:200], None)
    found = Evidence(p[200:], truth[200:], np.ones(1000, bool), checked)
    right, _ = Audit().assess(found)
    assert right.min() > 0.5
