import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import file_source, pipeline, sources
from tf_metamixup.data.stored_files import StoredFiles

KINDS = {
    "grey.png": {"mode": "L"},
    "deep.png": {"mode": "I;16"},
    "palette.gif": {"mode": "P"},
    "clear.png": {"mode": "RGBA"},
    "photo.jpg": {"mode": "RGB", "quality": 80},
    "cmyk.jpg": {"mode": "CMYK"},
    "photo.webp": {"mode": "RGB"},
    "old.bmp": {"mode": "RGB"},
    "scan.tif": {"mode": "RGB"},
    "fits.png": {"mode": "RGB", "size": (16, 16)},
}


@pytest.fixture
def kinds(tmp_path):
    """A folder with an image of each kind in each of two classes, most of odd sizes."""
    generator = np.random.default_rng(0)
    for (name, about), label in itertools.product(KINDS.items(), ("one", "two")):
        options = {"size": (23, 37), **about}
        mode, size = options.pop("mode"), options.pop("size")
        noise = generator.integers(0, 256, (*size[::-1], 4), np.uint8)
        image = Image.fromarray(noise).resize(size)
        if mode == "I;16":
            image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
        elif mode != "RGBA":
            image = image.convert("RGB").convert(mode)
        path = tmp_path / "train" / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
    return tmp_path


def both(folder, **options):
    return [
        sources.load(f"folder:{folder}", image_size=16, in_memory=how, **options)
        for how in ("yes", "no")
    ]


def assert_equal(held, stored):
    batches = zip(held.as_numpy_iterator(), stored.as_numpy_iterator(), strict=True)
    for (images, labels), (same, same_labels) in batches:
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, same_labels)


def test_an_image_has_the_same_pixels_from_its_file_as_in_memory(kinds):
    held, stored = both(kinds)
    assert isinstance(stored.train.images, StoredFiles)
    assert held.contents == stored.contents and held.train.ids == stored.train.ids
    np.testing.assert_array_equal(held.train.labels, stored.train.labels)
    batches = [
        list(pipeline.test_batches(source.train, 7).as_numpy_iterator())
        for source in (held, stored)
    ]
    for (images, labels), (same, same_labels) in zip(*batches, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, same_labels)


def test_files_are_read_as_an_array_where_all_are_needed_at_once(kinds):
    held, stored = both(kinds)
    np.testing.assert_array_equal(np.asarray(stored.train.images), held.train.images)
    np.testing.assert_array_equal(tf.convert_to_tensor(stored.train.images), held.train.images)


def test_a_stream_of_files_is_that_of_memory_at_every_step_and_on_replicas(kinds):
    options = {"batch_size": 6, "seed": 0, "purpose": "labelled", "views": 2, "flip": True}
    held, stored = (
        pipeline.stream(source.train, np.arange(3, 20), shift=2, **options)
        for source in both(kinds)
    )
    for start, shard_ids, num_shards in ((0, range(1), 1), (5, range(1), 1), (2, range(1, 2), 2)):
        shards = (each.shards(start, shard_ids, num_shards).take(4) for each in (held, stored))
        assert_equal(*shards)
    for all_held, all_stored in zip(held.whole(), stored.whole(), strict=True):
        np.testing.assert_array_equal(all_held, all_stored)


def test_strong_augmentation_of_files_resumes_as_that_of_memory_goes_on(kinds):
    options = {"batch_size": 6, "seed": 0, "purpose": "labelled", "shift": 2, "strong": (0,)}
    held, stored = (
        pipeline.stream(source.train, np.arange(3, 20), **options).shards(step, range(1), 1)
        for step, source in zip((0, 3), both(kinds), strict=True)
    )
    assert_equal(held.skip(3).take(2), stored.take(2))


def test_what_memory_does_not_hold_stays_in_its_files(kinds, monkeypatch):
    load = lambda: sources.load(f"folder:{kinds}", image_size=16).train.images  # noqa: E731
    assert isinstance(load(), np.ndarray)
    monkeypatch.setattr(file_source, "MAX_BYTES", 20 * 16 * 16 * 3 - 1)
    assert isinstance(load(), StoredFiles)


@pytest.mark.parametrize(
    ("limit", "kind"), [("max", np.ndarray), (4 * 20 * 16 * 16 * 3 - 1, StoredFiles)]
)
def test_a_container_has_the_memory_that_it_is_limited_to(
    kinds, limit, kind, monkeypatch, tmp_path
):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(file_source, "_CONTAINER", tmp_path / "memory.max")
    assert isinstance(sources.load(f"folder:{kinds}", image_size=16).train.images, kind)


@pytest.mark.parametrize("how", ["yes", "no"])
def test_damaged_files_are_found_before_training(kinds, how):
    path = kinds / "train" / "one" / "photo.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    options = {"image_size": 16, "in_memory": how}
    with pytest.raises(UserError, match=r"1 of 20 images: cannot read the image .*/one/photo\.jpg"):
        sources.load(f"folder:{kinds}", **options)
    with pytest.warns(UserWarning, match="skipped 1 of 20 images"):
        source = sources.load(f"folder:{kinds}", corrupt_images="skip", **options)
    assert len(source.train) == len(source.train.images) == 19


def test_file_names_are_no_constant_of_the_graph(kinds):
    files = both(kinds)[1].train.images
    positions = tf.TensorSpec([None], tf.int64)
    graph = tf.function(files.gather).get_concrete_function(positions).graph
    assert [tensor.shape for tensor, _ in graph.captures] == [len(files)]
