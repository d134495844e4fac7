import shutil
import warnings

import pytest

from tf_metamixup.data import copies, sources
from tf_metamixup.data.contents import checksum


def told(files, **same):
    """What is warned of when the files have these contents, and others ones of their own."""
    contents = {f"{part}/{file}": f"{part}/{file}" for part, file, _ in files} | same
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        copies.warn("folder:photos", files, contents, ["val", "test"])
    return [str(each.message) for each in caught]


TRAIN = [("train", "cat/1", 0), ("train", "cat/2", 0), ("train", "dog/1", 1)]


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("trained", ["train", "trusted", "unlabelled"])
def test_images_that_are_trained_on_and_evaluated_are_named(trained, part):
    label = -1 if trained == "unlabelled" else 0
    files = [*TRAIN, (trained, "a", label), (part, "b", 0), (part, "c", 1)]
    (line,) = told(files, **{f"{trained}/a": "x", f"{part}/b": "x"})
    assert f"folder:photos: {part} contains 1 of the training images" in line
    assert f"({part}/b is {trained}/a)" in line


def test_copies_with_different_labels_are_named():
    files = [*TRAIN, ("trusted", "dog/9", 1)]
    same = ["train/cat/1", "train/dog/1"]
    (line,) = told(files, **dict.fromkeys(same, "x"))
    assert told(files, **dict.fromkeys([*same, "trusted/dog/9"], "x")) == []  # which was checked
    assert "copies of 1 of the images have different labels" in line
    assert "(train/cat/1 is train/dog/1)" in line


def test_nothing_is_said_of_copies_within_a_class_or_without_a_label():
    files = [*TRAIN, ("unlabelled", "1", -1), ("unlabelled", "2", -1)]
    same = ["train/cat/1", "train/cat/2", "unlabelled/1", "unlabelled/2"]
    assert told(files, **dict.fromkeys(same, "x")) == []


def test_images_of_validation_and_test_may_be_the_same():
    files = [*TRAIN, ("val", "1", 0), ("test", "1", 0)]
    assert told(files, **{"val/1": "x", "test/1": "x"}) == []


def test_files_that_cannot_be_read_are_no_copies():
    files = [*TRAIN, ("test", "1", 0)]
    assert (
        told(files, **dict.fromkeys(["train/cat/1", "train/dog/1", "test/1"], checksum(b""))) == []
    )


def test_a_folder_says_what_is_in_it_twice(folder):
    shutil.copy(folder / "train/red/0.png", folder / "test/blue/7.png")
    with pytest.warns(UserWarning) as caught:
        sources.load(f"folder:{folder}")
    first, second = (str(each.message) for each in caught)
    assert "test contains 1 of" in first and "(test/blue/7.png is train/red/0.png)" in first
    assert "(test/blue/7.png is train/red/0.png)" in second
