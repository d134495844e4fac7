import numpy as np
from sklearn.metrics import roc_auc_score

from tests import tiny
from tf_metamixup.data import ArrayStream
from tf_metamixup.methods.label_judge import Evidence
from tf_metamixup.methods.small_loss import SmallLoss


def test_labels_of_small_loss_count_as_right_and_checked_ones_always():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.85, 0.15], [0.9, 0.1], [0.05, 0.95]])
    given, untrusted = np.array([0, 0, 0, 1, 0]), np.array([True, True, True, True, False])
    evidence = Evidence(p, given, untrusted, None)
    method = SmallLoss()
    right = method.judge(evidence, method.initial_state(len(p), p.shape[1]))["right"]
    np.testing.assert_allclose(right, [1, 1, 1, 0, 1], atol=1e-3)


def test_labels_that_were_made_wrong_are_found_without_a_checked_one():
    pixels, truth = tiny.images(240)
    generator = np.random.default_rng(0)
    given = np.where(generator.random(240) < 0.25, (truth + 1) % tiny.CLASSES, truth)
    labelled = ArrayStream(pixels, given, np.arange(240), batch_size=20, seed=0, purpose="labelled")
    trainer = tiny.trainer("small_loss(start=0.5)", "dynamic", row_groups=1, learning_rate=0.02)
    graphs = trainer.graphs(labelled=labelled, epoch_steps=12, steps=100)
    batches = graphs.batches(0)
    graphs.train(batches, 0, 50)
    graphs.train(batches, 50, 1)
    right = graphs.label_audit.state["right"]
    wrong = given != truth
    assert roc_auc_score(~wrong, right) > 0.75
