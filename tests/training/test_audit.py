import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tf_metamixup.data import ArrayStream, Audited
from tf_metamixup.data.joined_stream import JoinedStream
from tf_metamixup.data.stored_files import StoredFiles
from tf_metamixup.training import evaluation
from tf_metamixup.training.audit import evidence


def joined(images, labels):
    """A stream of 16 images, of which two were checked, and 6 checked ones beside them."""
    options = {"batch_size": 2, "seed": 0}
    return JoinedStream(
        ArrayStream(images, labels, np.arange(16), purpose="labelled", checked=[3, 9], **options),
        ArrayStream(images, labels, np.arange(18, 24), purpose="trusted", **options),
    )


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_audit_reads_files_in_pieces_and_finds_what_it_finds_in_memory(
    replicas, tmp_path, monkeypatch
):
    images, labels = tiny.images(24)
    paths = [str(tmp_path / f"{n}.png") for n in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels[..., 0]).save(path)
    stored = StoredFiles(np.array(paths, object), tiny.SHAPE)
    trainer = tiny.trainer("small_loss", "dynamic", replicas=replicas, model=tiny.unnamed)
    monkeypatch.setattr(evaluation, "ROWS", 5)
    monkeypatch.delattr(ArrayStream, "whole")
    found, expected = (evidence(trainer, joined(each, labels), None) for each in (stored, images))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    kept = [*range(16), *range(18, 24)]
    assert found.probabilities.shape == (len(kept), tiny.CLASSES)
    np.testing.assert_allclose(found.probabilities, trainer.predict(images[kept]), rtol=1e-5)
    np.testing.assert_array_equal(found.given, labels[kept])
    assert np.flatnonzero(~found.untrusted).tolist() == [3, 9, *range(16, 22)]


def test_replicas_audit_and_train_as_one_device_does():
    images, truth = tiny.images(96)
    given = np.where(np.arange(96) % 4 == 0, (truth + 1) % tiny.CLASSES, truth)
    found = []
    for replicas in (1, 2):
        trainer = tiny.trainer("audit(start=0.5, period=0.25)", "dynamic", replicas=replicas)
        labelled = ArrayStream(
            images, given, np.arange(72), batch_size=8, seed=0, purpose="labelled", flip=True
        )
        audited = Audited(images[72:], truth[72:], given[72:])
        graphs = trainer.graphs(labelled=labelled, audited=audited, epoch_steps=8, steps=8)
        batches = graphs.batches(0)
        for step in (0, 4, 6):  # an audit comes before the steps 4 and 6
            graphs.train(batches, step, 4 if step == 0 else 2)
        found.append([np.asarray(variable) for variable in graphs.variables])
    right = found[0][-2]
    assert right.shape == (72,) and (right < 1).all()
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_an_epoch_of_audits_is_as_many_rows_as_there_are_images():
    images, labels = tiny.images(24)
    labelled = ArrayStream(images, labels, np.arange(24), batch_size=8, seed=0, purpose="labelled")
    trainer = tiny.trainer("small_loss", "dynamic", row_groups=1)
    graphs = trainer.graphs(labelled=labelled, epoch_steps=100, steps=600)  # 200 epochs
    assert graphs.steps_until_audit(0) == 20 * 3
    assert graphs.steps_until_audit(60) == 7 * 3
