import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.data.conftest import SMALL, small
from tf_metamixup import data
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import sources
from tf_metamixup.data.images import InMemory


def test_digits_have_a_fixed_balanced_fifth_for_testing():
    digits = sources.load("digits")
    assert np.bincount(digits.test.labels).tolist() == [36] * 10
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.classes == list("0123456789")
    assert digits.image_shape == digits.train.images.shape[1:] == (8, 8, 1)
    assert not digits.flip
    assert digits.train.images.dtype == np.uint8 and digits.train.images.max() == 255
    assert digits.train.labels.dtype == np.int64
    # Fixed: these images, whatever the version or the seed of a run.
    assert digits.test.labels[:8].tolist() == [4, 6, 7, 9, 5, 6, 2, 7]
    train = {image.tobytes() for image in digits.train.images}
    assert sum(image.tobytes() in train for image in digits.test.images) == 0


def test_digits_are_those_of_scikit_learn():
    theirs = load_digits()
    digits = sources.load("digits")
    found = sorted(
        (image.tobytes(), label)
        for part in (digits.train, digits.test)
        for image, label in zip(part.images, part.labels, strict=True)
    )
    pixels = np.round(theirs.images * (255 / 16)).astype(np.uint8)
    assert found == sorted(
        (image.tobytes(), label) for image, label in zip(pixels, theirs.target, strict=True)
    )


def test_a_data_set_of_tfds_without_tfds_is_refused_with_what_installs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "tf_metamixup.data.tfds_source", raising=False)
    monkeypatch.delattr(data, "tfds_source", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"pip install '\.\[data\]'"):
        sources.load("mnist")


def test_a_source_prints_as_one_line():
    assert repr(sources.load("digits")) == (
        "<Source 'digits': 10 classes, images of 8 x 8 x 1: 1,437 train, 360 test>"
    )


@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ({"in_memory": "never"}, "auto, yes, no"),
        ({"corrupt_images": "leave"}, "stop, skip"),
        ({"image_size": 0}, "at least 1"),
    ],
)
def test_values_that_a_flag_refuses_are_refused(folder, option, allowed):
    with pytest.raises(UserError, match=allowed):
        sources.folder(folder, **option)


def test_an_image_size_resizes_any_source(folder, write_tfds):
    assert sources.load("digits", image_size=12).test.images.shape == (360, 12, 12, 1)
    assert sources.load(f"folder:{folder}", image_size=9).train.images.shape == (4, 9, 9, 3)
    root = write_tfds("pets", "1.0.0", SMALL, train=small(3), test=small(2))
    pets = sources.load("pets", root, image_size=7)
    assert pets.image_shape == (7, 7, 1)
    np.testing.assert_array_equal(pets.train.images[2], np.full((7, 7, 1), 2))


def test_images_in_memory_are_kept_in_the_order_asked_for():
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None]
    images = InMemory(pixels, np.arange(5) * 10)
    picked = images.keep(np.array([3, 1]))
    assert picked.images.flatten().tolist() == [3, 1] and picked.labels.tolist() == [30, 10]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 1)), np.arange(2), r"images of float64 .*must be uint8 \[N, H, W, C\]"),
        (np.zeros((2, 4, 4), np.uint8), np.arange(2), r"shape \(2, 4, 4\) must be uint8"),
        (
            np.zeros((2, 4, 4, 1), np.uint8),
            [0, 1],
            r"of 2 images, list \(2,\), must be an array",
        ),
        (np.zeros((2, 4, 4, 1), np.uint8), np.arange(3), r"int64 \(3,\), must be"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.eye(2, dtype=int), r"\(2, 2\), must be"),
        (
            np.zeros((2, 4, 4, 1), np.uint8),
            np.zeros(2),
            r"float64 \(2,\), must be an array of integers",
        ),
    ],
)
def test_images_and_labels_of_another_kind_are_refused(images, labels, message):
    with pytest.raises(UserError, match=message):
        InMemory(images, labels)


def test_labels_of_any_integer_type_are_taken():
    images = InMemory(np.zeros((2, 4, 4, 1), np.uint8), np.array([3, 200], np.uint8))
    assert images.labels.dtype == np.int64 and images.labels.tolist() == [3, 200]


def test_what_is_registered_must_make_a_data_set(monkeypatch):
    monkeypatch.setitem(sources.DATASETS._makers, "nothing", lambda size=None: None)
    with pytest.raises(UserError, match="'nothing' returned None, not a Source"):
        sources.load("nothing")
