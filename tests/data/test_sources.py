import io
import time

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import sources

SMALL = {
    "image": tfds.features.Image(shape=(4, 4, 1)),
    "label": tfds.features.ClassLabel(names=["cat", "dog"]),
}


def small(count, **extra):
    return [
        {
            "image": np.full((4, 4, 1), i, np.uint8),
            "label": i % 2,
            **{k: f(i) for k, f in extra.items()},
        }
        for i in range(count)
    ]


@pytest.fixture
def offline(monkeypatch):
    def refuse(url, **_):
        raise requests.ConnectionError(url)

    monkeypatch.setattr(sources.requests, "get", refuse)


@pytest.fixture
def folder(tmp_path):
    """Two classes, of red and of blue 6x5 images, two for training and one for testing."""
    for split, count in (("train", 2), ("test", 1)):
        for label, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (5, 6), color).save(tmp_path / split / label / f"{i}.png")
    return tmp_path


def load_folder(path, **options):
    return sources.load(f"folder:{path}", **options)


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


def test_an_image_size_resizes_any_source(folder, write_tfds):
    assert sources.load("digits", image_size=12).test.images.shape == (360, 12, 12, 1)
    assert load_folder(folder, image_size=9).train.images.shape == (4, 9, 9, 3)
    root = write_tfds("pets", "1.0.0", SMALL, train=small(3), test=small(2))
    pets = sources.load("pets", root, image_size=7)
    assert pets.image_shape == (7, 7, 1)
    np.testing.assert_array_equal(pets.train.images[2], np.full((7, 7, 1), 2))


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


def test_an_unknown_name_lists_the_known_and_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"'cifar'. Did you mean 'cifar10'\? Known: digits, mnist"):
        sources.load("cifar", str(tmp_path))
    for name in ("", "huggingface:mnist", "no/such"):
        with pytest.raises(UserError, match="unknown data set"):
            sources.load(name, str(tmp_path))


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


def test_a_host_that_never_answers_is_given_up(monkeypatch, tmp_path):
    def late(url, **_):
        time.sleep(2)
        raise requests.ConnectionError(url)

    monkeypatch.setattr(sources, "_PATIENCE", 0.1)
    monkeypatch.setattr(sources.requests, "get", late)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"no answer from https://www.cs.toronto.edu"):
        sources.load("cifar10", str(tmp_path))
    assert time.monotonic() - start < 1.5


def test_an_answer_of_failure_is_told(monkeypatch, tmp_path):
    answer = requests.Response()
    answer.status_code, answer.raw = 503, io.BytesIO()
    monkeypatch.setattr(sources.requests, "get", lambda url, **_: answer)
    with pytest.raises(UserError, match=r"cifar-10-binary.tar.gz answers 503"):
        sources.load("cifar10", str(tmp_path))


def test_raw_files_already_there_need_no_network(offline, tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "cifar-10-binary.tar.gz").write_bytes(b"not the real one")
    with pytest.raises(UserError, match="TFDS cannot prepare the data set 'cifar10': NonMatching"):
        sources.load("cifar10", str(tmp_path))


def test_imagenet_is_asked_for_by_hand(offline, tmp_path):
    with pytest.raises(UserError, match=r"only given by hand.*ILSVRC2012_img_train.tar") as raised:
        sources.load("imagenet2012", str(tmp_path))
    assert f"{tmp_path}/downloads/manual" in str(raised.value)


def test_imagenet_stays_in_its_files(imagenet):
    source = sources.load("imagenet2012", imagenet)
    assert source.image_shape == (100, 100, 3)
    assert len(source.classes) == 1000
    assert isinstance(source.train, sources.Streamed) and source.train.crop
    assert sorted(source.train.labels) == [3 * i for i in range(10)]
    assert len(source.test) == 5
    assert sources.load("imagenet2012", imagenet, image_size=32).image_shape == (32, 32, 3)


def test_a_set_too_large_for_memory_stays_in_its_files(write_tfds, monkeypatch):
    root = write_tfds("pets", "1.0.0", SMALL, train=small(20), test=small(5))
    monkeypatch.setattr(sources, "_MEMORY", 5 * 4 * 4)
    pets = sources.load("pets", root)
    assert isinstance(pets.train, sources.Streamed) and not pets.train.crop
    assert isinstance(pets.test, sources.InMemory)
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


def test_a_folder_of_images_is_a_data_set(folder):
    source = load_folder(folder)
    assert source.classes == ["blue", "red"]
    assert source.image_shape == (6, 5, 3)
    assert source.flip
    assert source.train.ids == ["blue/0.png", "blue/1.png", "red/0.png", "red/1.png"]
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.train.images[:, 0, 0].tolist() == [[0, 0, 255]] * 2 + [[255, 0, 0]] * 2
    assert source.test.images.shape == (2, 6, 5, 3)


def test_folder_images_of_several_sizes_become_64_by_64(folder):
    Image.new("RGB", (9, 9)).save(folder / "train" / "red" / "3.JPG")
    assert load_folder(folder).train.images.shape == (5, 64, 64, 3)


def test_folder_images_are_grey_only_if_all_are(folder):
    for path in sorted(folder.glob("*/*/*.png")):
        assert load_folder(folder).image_shape == (6, 5, 3)
        Image.open(path).convert("L").save(path)
    assert load_folder(folder).image_shape == (6, 5, 1)


def damage(folder):
    """A file that is no image, an empty one, one that breaks off; how many there are in all."""
    paths = [folder / "train/blue/0.png", folder / "train/red/1.png", folder / "test/red/9.png"]
    paths[0].write_bytes(b"no image")
    paths[1].write_bytes(b"")
    paths[2].write_bytes((folder / "test/red/0.png").read_bytes()[:50])
    return paths, len(list(folder.rglob("*.png")))


def test_corrupt_images_are_named_and_counted(folder):
    paths, count = damage(folder)
    with pytest.raises(UserError, match=f"3 of {count} images: ") as raised:
        load_folder(folder)
    for path in paths:
        assert f"cannot read the image {path}" in str(raised.value)
    assert "--corrupt_images=skip" in str(raised.value)


def test_corrupt_images_are_skipped_on_request_and_still_told(folder):
    whole = load_folder(folder)
    paths, count = damage(folder)
    with pytest.warns(UserWarning, match=f"skipped 3 of {count} images: .*{paths[0]}"):
        source = load_folder(folder, corrupt_images="skip")
    missing = {path.relative_to(folder / "train").as_posix() for path in paths[:2]}
    assert source.train.ids == [name for name in whole.train.ids if name not in missing]
    kept = [n for n, name in enumerate(whole.train.ids) if name not in missing]
    np.testing.assert_array_equal(source.train.images, whole.train.images[kept])
    np.testing.assert_array_equal(source.train.labels, whole.train.labels[kept])


def test_a_class_of_corrupt_images_alone_is_an_error(folder):
    for path in (folder / "train" / "red").iterdir():
        path.write_bytes(b"no image")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(UserError, match="red holds no image that can be read"),
    ):
        load_folder(folder, corrupt_images="skip")


def test_sixteen_bit_images_are_refused_rather_than_clipped(folder):
    Image.fromarray(np.full((6, 5), 40_000, np.uint16)).save(folder / "train" / "red" / "0.png")
    with pytest.raises(UserError, match="converted to 8 bits"):
        load_folder(folder)


def test_folders_that_cannot_be_a_data_set_say_why(folder, tmp_path):
    with pytest.raises(UserError, match=r"none/train is not a folder; folder:DIR needs DIR/train"):
        load_folder(tmp_path / "none")
    (folder / "test" / "green").mkdir()
    with pytest.raises(UserError, match=r"green holds no .png"):
        load_folder(folder)
    Image.new("RGB", (5, 6)).save(folder / "test" / "green" / "0.png")
    with pytest.raises(UserError, match="the same classes; only one of them has green"):
        load_folder(folder)
    (folder / "empty" / "train").mkdir(parents=True)
    (folder / "empty" / "test").mkdir()
    with pytest.raises(UserError, match="holds no class folders"):
        load_folder(folder / "empty")


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


def test_images_in_memory_are_kept_in_the_order_asked_for():
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None]
    images = sources.InMemory(pixels, np.arange(5) * 10)
    picked = images.keep(np.array([3, 1]))
    assert picked.images.flatten().tolist() == [3, 1] and picked.labels.tolist() == [30, 10]
