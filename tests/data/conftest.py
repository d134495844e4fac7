import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tf_metamixup import data

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


@pytest.fixture(scope="session")
def digits():
    return data.load("digits")


@pytest.fixture
def write_tfds(tmp_path):
    """Writes a prepared TFDS folder, in several files a split, and returns the data directory."""

    def write(name, version, features, **splits):
        folder = tmp_path / name / version
        folder.mkdir(parents=True)
        identity = tfds.core.dataset_info.DatasetIdentity(name, version, str(folder), "")
        info = tfds.core.DatasetInfo(
            builder=identity, features=tfds.features.FeaturesDict(features)
        )
        writer = tfds.core.SequentialWriter(info, max_examples_per_shard=7)
        writer.initialize_splits(list(splits))
        writer.add_examples(splits)
        writer.close_all()
        return str(tmp_path)

    return write


@pytest.fixture
def write_imagenet(write_tfds):
    """Writes (image, label) pairs as an imagenet2012 and returns the data directory."""

    def write(images):
        examples = [
            {"image": image, "label": label, "file_name": f"n{i:08d}.JPEG"}
            for i, (image, label) in enumerate(images)
        ]
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=1000),
            "file_name": tfds.features.Text(),
        }
        return write_tfds(
            "imagenet2012", "5.1.0", features, train=examples, validation=examples[:5]
        )

    return write


@pytest.fixture
def imagenet(write_imagenet):
    """An imagenet2012 whose image i has red 20 * i, green growing to the right, class 3 * i."""
    images = []
    for i in range(10):
        image = np.zeros((30 + i, 50 - i, 3), np.uint8)
        image[..., 0] = 20 * i
        image[..., 1] = np.linspace(0, 200, 50 - i)
        images.append((image, 3 * i))
    return write_imagenet(images)


@pytest.fixture
def folder(tmp_path):
    """Two classes, of red and of blue 6x5 images, two for training and one for testing."""
    for split, count in (("train", 2), ("test", 1)):
        for label, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(count):
                image = Image.new("RGB", (5, 6), color)
                image.putpixel((4, 5), (0, 0, 0) if split == "test" else color)
                image.save(tmp_path / split / label / f"{i}.png")
    return tmp_path


@pytest.fixture
def own_folder(folder):
    """`folder` with many more red training images, and each other part that a folder may have."""
    paths = [f"train/red/{n}.png" for n in range(2, 30)]
    paths += [f"train/blue/{n}.png" for n in range(2, 6)]
    paths += ["unlabelled/0.png", "unlabelled/deep/er/1.png", "unlabelled/2.png"]
    paths += [f"{part}/{c}/{part}.png" for part in ("trusted", "val") for c in ("red", "blue")]
    paths += [f"train/{c}/{n}.png" for c in ("red", "blue") for n in (0, 1)]  # which were alike
    for n, path in enumerate(paths):
        color = next((each for each in ("red", "blue") if each in path), "green")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (5, 6), color)
        image.putpixel((0, 0), (n, n, n))
        image.save(folder / path)
    return folder
