import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.conftest import SMALL, small
from tf_metamixup.core.errors import UnknownNameError, UserError
from tf_metamixup.data import images, sources, tfds_source
from tf_metamixup.data.contents import changes
from tf_metamixup.data.images import InMemory
from tf_metamixup.data.streamed import Streamed


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr(tfds_source, "unreachable", lambda url: f"{url} cannot be reached")


def test_a_prepared_folder_is_read_in_its_order_with_its_ids(write_tfds):
    features = {**SMALL, "id": tfds.features.Text()}
    root = write_tfds(
        "pets",
        "1.0.0",
        features,
        train=small(20, id=lambda i: f"train_{i}"),
        validation=small(3, id=str),
    )
    pets = sources.load("pets", root)
    assert pets.classes == ["cat", "dog"]
    assert pets.image_shape == (4, 4, 1)
    assert pets.flip
    assert sorted(pets.train.images[:, 0, 0, 0]) == list(range(20))
    for image, label, name in zip(
        pets.train.images, pets.train.labels, pets.train.ids, strict=True
    ):
        assert (label, name) == (image[0, 0, 0] % 2, f"train_{image[0, 0, 0]}")
    assert sources.load("pets", root).train.ids == pets.train.ids
    assert len(pets.test) == 3  # of the validation split, since there is no test split


def test_images_of_several_sizes_become_64_by_64(write_tfds):
    features = {**SMALL, "image": tfds.features.Image()}
    examples = [{"image": np.full((5 + i, 9, 3), 50 * i, np.uint8), "label": 0} for i in range(3)]
    root = write_tfds("pets", "1.0.0", features, train=examples, test=examples)
    pets = sources.load("pets", root)
    assert pets.image_shape == (64, 64, 3)
    np.testing.assert_array_equal(pets.train.images.max((1, 2, 3)), [0, 50, 100])
    assert pets.train.ids is None


def test_the_data_directory_comes_from_the_environment_and_may_begin_with_a_tilde(
    write_tfds, monkeypatch
):
    root = write_tfds("pets", "1.0.0", SMALL, train=small(3), test=small(2))
    monkeypatch.setenv("TFDS_DATA_DIR", root)
    assert len(sources.load("pets").train) == 3
    monkeypatch.setenv("HOME", root)
    assert len(sources.load("pets", "~").train) == 3


def test_an_unknown_name_lists_the_known_and_the_nearest(tmp_path, write_tfds):
    with pytest.raises(UserError, match=r"'cifar' \(did you mean 'cifar10'\?\); known: digits, mn"):
        sources.load("cifar", str(tmp_path))
    root = write_tfds("pets", "1.0.0", SMALL, train=small(3), test=small(2))
    for name in ("", ".", "..", "x" * 300, "huggingface:mnist", "no/such"):
        with pytest.raises(UserError, match="unknown data set"):
            sources.load(name, root)


def test_a_set_without_images_and_labels_is_refused(write_tfds, tmp_path):
    with pytest.raises(UserError, match=r"not an image classification data set.*title, text"):
        sources.load("wikipedia", str(tmp_path))
    features = {**SMALL, "label": tfds.features.Scalar(np.int64)}
    root = write_tfds("ages", "1.0.0", features, train=small(2), test=small(2))
    with pytest.raises(UserError, match="not an image classification data set"):
        sources.load("ages", root)


def test_a_set_without_a_test_split_or_with_hidden_labels_is_refused(write_tfds):
    root = write_tfds("pets", "1.0.0", SMALL, train=small(2), extra=small(2))
    with pytest.raises(UserError, match="one of 'test' or 'validation'; it has train, extra"):
        sources.load("pets", root)
    hidden = [{**example, "label": -1} for example in small(2)]
    root = write_tfds("dogs", "1.0.0", SMALL, train=small(2), test=hidden)
    with pytest.raises(UserError, match="labels of the split 'test' of 'dogs' are not public"):
        sources.load("dogs", root)


def test_missing_data_without_a_network_says_where_it_belongs(offline, tmp_path):
    with pytest.raises(UserError) as raised:
        sources.load("cifar10", str(tmp_path))
    message = str(raised.value)
    assert f"{tmp_path}/cifar10/3.0.2" in message
    assert f"cifar-10-binary.tar.gz) into {tmp_path}/downloads/manual" in message
    assert "--data_dir or TFDS_DATA_DIR" in message
    assert "\n" not in message


def test_raw_files_already_there_need_no_network(offline, tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "cifar-10-binary.tar.gz").write_bytes(b"not the real one")
    with pytest.raises(UserError, match="TFDS cannot prepare the data set 'cifar10': NonMatching"):
        sources.load("cifar10", str(tmp_path))


def test_imagenet_is_asked_for_by_hand(offline, tmp_path):
    with pytest.raises(UserError, match=r"downloaded manually.*ILSVRC2012_img_train.tar") as raised:
        sources.load("imagenet2012", str(tmp_path))
    assert f"{tmp_path}/downloads/manual" in str(raised.value)


def test_imagenet_stays_in_its_files(imagenet):
    source = sources.load("imagenet2012", imagenet)
    assert source.image_shape == (100, 100, 3)
    assert len(source.classes) == 1000
    assert isinstance(source.train, Streamed) and source.train.crop
    assert sorted(source.train.labels) == [3 * i for i in range(10)]
    assert len(source.test) == 5
    assert sources.load("imagenet2012", imagenet, image_size=32).image_shape == (32, 32, 3)


def test_a_set_too_large_for_memory_stays_in_its_files(write_tfds, monkeypatch):
    root = write_tfds("pets", "1.0.0", SMALL, train=small(20), test=small(5))
    monkeypatch.setattr(images, "MAX_BYTES", 5 * 4 * 4)
    pets = sources.load("pets", root)
    assert isinstance(pets.train, Streamed) and not pets.train.crop
    assert isinstance(pets.test, InMemory)
    decoded = [
        (pets.train.decode(encoded).numpy(), label.numpy())
        for encoded, label in pets.train.encoded()
    ]
    assert [label for _, label in decoded] == pets.train.labels.tolist()
    assert sorted(image[0, 0, 0] for image, _ in decoded) == list(range(20))


@pytest.mark.parametrize("harm", ["truncate", "remove", "features", "json"])
def test_a_damaged_prepared_folder_is_one_clear_error(write_tfds, tmp_path, harm):
    root = write_tfds("pets", "1.0.0", SMALL, train=small(20), test=small(5))
    prepared = tmp_path / "pets" / "1.0.0"
    record = sorted(prepared.glob("pets-train*"))[1]
    match harm:
        case "truncate":
            record.write_bytes(record.read_bytes()[:-9])
        case "remove":
            record.unlink()
        case "features":
            (prepared / "features.json").unlink()
        case "json":
            (prepared / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="'pets'") as raised:
        sources.load("pets", root)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_prepared_folder_without_its_metadata_is_damaged(offline, tmp_path):
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cifar10/3.0.2 is damaged: dataset_info.json or"):
        sources.load("cifar10", str(tmp_path))


@pytest.mark.slow
def test_the_real_data_sets_are_read(real_data):
    fashion = sources.load("fashion_mnist", real_data)
    assert fashion.image_shape == (28, 28, 1)
    assert np.bincount(fashion.train.labels).tolist() == [6000] * 10
    assert fashion.classes[0] == "T-shirt/top"
    cifar = sources.load("cifar10", real_data)
    assert cifar.image_shape == (32, 32, 3)
    assert np.bincount(cifar.test.labels).tolist() == [1000] * 10
    assert len(set(cifar.train.ids)) == 50_000
    stored = tfds.load(
        "cifar10", data_dir=real_data, split="train[:5]", download=False, batch_size=-1
    )
    np.testing.assert_array_equal(cifar.train.images[:5], stored["image"])
    np.testing.assert_array_equal(cifar.train.labels[:5], tf.cast(stored["label"], tf.int64))


def test_a_folder_as_a_data_set_hints_folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "./photos", "./mnist", f"{tmp_path}/photos", "photos/", "."):
        with pytest.raises(UnknownNameError) as raised:
            sources.load(name, str(tmp_path / "data"))
        assert f"read with --dataset=folder:{name};" in str(raised.value)


@pytest.mark.parametrize("off", ["pets", "pets/1.0.0", "..", "."])
@pytest.mark.parametrize("name", ["pets", "pets:1.0.0"])
def test_a_data_directory_one_level_off_is_seen(write_tfds, tmp_path, monkeypatch, name, off):
    write_tfds("pets", "1.0.0", SMALL, train=small(3), test=small(2))
    root = tmp_path / "tfds"
    root.mkdir()
    (tmp_path / "pets").rename(root / "pets")
    monkeypatch.chdir(root / "pets")
    given = "." if off == "." else f"{root}/{off}"
    with pytest.raises(UserError, match=f"give --data_dir={root} "):
        sources.load(name, given)


def test_a_set_of_one_class_is_reported(write_tfds):
    features = {**SMALL, "label": tfds.features.ClassLabel(names=["cat"])}
    cats = [{**example, "label": 0} for example in small(3)]
    root = write_tfds("cats", "1.0.0", features, train=cats, test=cats)
    with pytest.raises(UserError, match=r"'cats' has only one class \(cat\)"):
        sources.load("cats", root)


def test_another_version_or_other_labels_are_other_contents(write_tfds, tmp_path):
    root = write_tfds("pets", "1.0.0", SMALL, train=small(3), test=small(2))
    first = sources.load("pets", root).contents
    assert changes(first, sources.load("pets:1.0.0", root).contents) == ""
    swapped = [{**example, "label": 1 - example["label"]} for example in small(2)]
    write_tfds("pets", "1.0.1", SMALL, train=small(3), test=swapped)
    reported = changes(first, sources.load("pets", root).contents)
    assert "moved (pets/1.0.0 train, 3 images to pets/1.0.1 train, 3 images)" in reported
    assert "added (pets/1.0.1 test, 2 images)" in reported
