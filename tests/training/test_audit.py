import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tf_metamixup.data import ArrayStream
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
    found, expected = (
        evidence(trainer, joined(each, labels), None, step=1) for each in (stored, images)
    )
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    kept = [*range(16), *range(18, 24)]
    np.testing.assert_allclose(found.probabilities, trainer.predict(images[kept]), rtol=1e-5)
    np.testing.assert_array_equal(found.given, labels[kept])
    assert np.flatnonzero(~found.untrusted).tolist() == [3, 9, *range(16, 22)]
