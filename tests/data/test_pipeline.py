import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.graph_checks import problem_of
from tf_metamixup.data import pipeline, sources
from tf_metamixup.data.dataset_stream import DatasetStream
from tf_metamixup.data.images import InMemory

COUNT = 10
OPTIONS = {
    "flip and shift": {"flip": True, "shift": 2},
    "views": {"flip": True, "shift": 2, "views": 3, "strong": (2,)},
}


@pytest.fixture
def in_memory():
    """Ten noise images of class 0 to 9; a class says which image it is."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 5, 3)).astype(np.uint8)
    return InMemory(images, np.arange(COUNT, dtype=np.int64))


@pytest.fixture
def streamed(imagenet):
    return sources.load("imagenet2012", imagenet, image_size=16).train


@pytest.fixture(params=["in_memory", "streamed"])
def images(request):
    return request.getfixturevalue(request.param)


def make(images, indices=None, **options):
    indices = np.arange(len(images)) if indices is None else indices
    return pipeline.stream(
        images, indices, **{"batch_size": 4, "seed": 0, "purpose": "labelled", **options}
    )


def take(stream, steps, first=0, shard_ids=range(1), num_shards=1):
    """The shards of `steps` steps: (images, labels)."""
    shards = stream.shards(first, shard_ids, num_shards).as_numpy_iterator()
    return list(itertools.islice(shards, steps * len(shard_ids)))


def assert_equal(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        for array, other_array in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, other_array)


def joined(shards):
    """Two by two."""
    pairs = zip(shards[::2], shards[1::2], strict=True)
    return [tuple(map(np.concatenate, zip(*pair, strict=True))) for pair in pairs]


def labels(batches):
    return np.concatenate([y for _, y in batches])


def test_kept_images_come_in_the_order_of_their_positions(images):
    everything = pipeline.test_batches(images, 20)
    (x, y), *_ = everything.as_numpy_iterator()
    places = np.array([7, 2, 5])
    kept = pipeline.test_batches(images.keep(places), 2).as_numpy_iterator()
    assert_equal(list(kept), [(x[places[:2]], y[places[:2]]), (x[places[2:]], y[places[2:]])])


def test_the_kind_of_image_set_decides_the_stream(in_memory, streamed):
    assert isinstance(make(in_memory), pipeline.ArrayStream)
    assert isinstance(make(streamed), pipeline.FileStream)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_batches_have_known_shapes_and_types(images, options):
    x, y = make(images, **options).shards(0, range(2), 2).element_spec
    views = (options["views"],) if "views" in options else ()
    shape = (6, 5, 3) if isinstance(images, InMemory) else (16, 16, 3)
    assert (x.shape, x.dtype) == ((2, *views, *shape), tf.uint8)
    assert (y.shape, y.dtype) == ((2,), tf.int64)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_resumed_stream_repeats_the_batches_of_an_uninterrupted_one(images, options):
    stream = make(images, **options)
    uninterrupted = take(stream, 7)
    # Within the first pass, in the batch that straddles two, and where the third pass begins.
    for first in (1, 2, 5):
        assert_equal(take(stream, 7 - first, first), uninterrupted[first:])
    assert_equal(take(make(images, **options), 7), uninterrupted)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_pieces_add_up_to_the_batch_of_one_device(images, options):
    stream = make(images, **options)
    whole = take(stream, 5, first=1)
    halves = take(stream, 5, first=1, shard_ids=range(2), num_shards=2)
    assert_equal(joined(halves), whole)
    assert_equal(take(stream, 5, first=1, shard_ids=range(1, 2), num_shards=2), halves[1::2])
    middle = take(stream, 5, first=1, shard_ids=range(1, 3), num_shards=4)
    assert_equal(joined(middle), [tuple(a[1:3] for a in batch) for batch in whole])


def test_each_pass_holds_each_image_once_and_batches_straddle_passes(images):
    passes = 4
    seen = labels(take(make(images), passes * len(images) // 4)).reshape(passes, -1)
    for one in seen:
        assert sorted(one) == sorted(images.labels)
    assert len({tuple(one) for one in seen}) == passes


def test_only_the_images_at_the_indices_are_read(images):
    indices = np.array([1, 2, 3, 5, 8])
    seen = labels(take(make(images, indices), 5))
    assert sorted(seen) == sorted(np.repeat(images.labels[indices], 4))


def test_seed_and_purpose_decide_the_order(images):
    order = labels(take(make(images), 4)).tolist()
    assert labels(take(make(images), 4)).tolist() == order
    assert labels(take(make(images, seed=1), 4)).tolist() != order
    assert labels(take(make(images, purpose="meta"), 4)).tolist() != order


def test_a_seed_set_by_the_user_changes_nothing(images):
    before = take(make(images, flip=True), 6)
    tf.random.set_seed(7)
    try:
        assert_equal(take(make(images, flip=True), 6), before)
    finally:
        tf.random.set_seed(0)


def test_an_image_comes_with_its_label(in_memory):
    for x, y in take(make(in_memory), 5):
        np.testing.assert_array_equal(x, in_memory.images[y])


def test_the_whole_of_a_stream_is_each_image_once_as_it_is_stored(images):
    indices = np.array([8, 1, 5, 2])
    x, y = make(images, indices, flip=True, shift=2).whole()
    assert sorted(y.numpy()) == sorted(images.labels[indices])
    pixels, labels = take(make(images, indices), 1)[0]
    stored = dict(zip(labels, pixels, strict=True))
    for pixels, label in zip(x.numpy(), y.numpy(), strict=True):
        np.testing.assert_array_equal(pixels, stored[label])


def test_an_image_from_a_file_comes_with_its_label(streamed):
    for x, y in take(make(streamed, flip=True), 5):
        # Class 3 * i has red 20 * i, up to what JPEG makes of it.
        np.testing.assert_allclose(x[..., 0].mean((1, 2)), y * 20 / 3, atol=4)


def test_augmentation_differs_by_step_seed_and_view(in_memory):
    many = InMemory(np.repeat(in_memory.images[:1], 32, 0), np.zeros(32, np.int64))
    (first, *_), (second, *_) = take(make(many, batch_size=32, flip=True, shift=2), 2)
    assert (first != second).any()
    ((other, *_),) = take(make(many, batch_size=32, flip=True, shift=2, seed=1), 1)
    assert (first != other).any()
    ((views, *_),) = take(make(many, batch_size=32, flip=True, shift=2, views=2), 1)
    assert (views[:, 0] != views[:, 1]).any()
    assert len({image.tobytes() for image in first}) > 8


def test_views_without_augmentation_are_copies(in_memory):
    for x, y in take(make(in_memory, views=2), 3):
        np.testing.assert_array_equal(x[:, 0], in_memory.images[y])
        np.testing.assert_array_equal(x[:, 1], in_memory.images[y])


def test_only_strong_views_have_randaugment(in_memory):
    ((x, y),) = take(make(in_memory, batch_size=8, views=2, strong=(1,)), 1)
    np.testing.assert_array_equal(x[:, 0], in_memory.images[y])
    assert (x[:, 1] != x[:, 0]).any((1, 2, 3)).sum() > 4


def test_random_crops_differ_by_view_and_pass(streamed):
    batches = take(make(streamed, np.arange(4), flip=True, views=2), 5)
    crops = np.concatenate([x.reshape(-1, *x.shape[2:]) for x, *_ in batches])
    assert len({crop.tobytes() for crop in crops}) == 5 * 4 * 2


def test_a_stream_of_files_without_augmentation_makes_centre_crops(streamed):
    expected = next(iter(pipeline.test_batches(streamed, COUNT)))[0].numpy()
    for x, y in take(make(streamed), 3):
        np.testing.assert_array_equal(x, expected[np.searchsorted(streamed.labels, y)])


def test_a_batch_larger_than_the_data_names_both_numbers(images):
    with pytest.raises(UserError, match="a batch of 4 labelled images is larger than the 3 there"):
        make(images, np.arange(3))
    with pytest.raises(UserError, match="a batch of 4 cannot be split into 3 equal shards"):
        make(images).shards(0, range(3), 3)


def test_test_batches_hold_every_image_in_order(images):
    batches = list(pipeline.test_batches(images, 4).as_numpy_iterator())
    assert labels(batches).tolist() == images.labels.tolist()
    assert [len(y) for _, y in batches][:-1] == [4] * (len(batches) - 1)
    if isinstance(images, InMemory):
        np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images.images)


def test_a_user_data_set_is_repeated_resumed_and_dealt():
    dataset = tf.data.Dataset.range(12).map(lambda i: {"x": i, "y": (-i, i * i)}).batch(4)
    stream = DatasetStream(dataset)
    assert stream.batch_size is None
    shards = stream.shards(2, range(2), 2).as_numpy_iterator()
    seen = list(itertools.islice(shards, 6))
    assert [shard["x"].tolist() for shard in seen] == [
        [8, 9],
        [10, 11],
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
    ]
    assert seen[0]["y"][1].tolist() == [64, 81]


def test_a_user_data_set_keeps_its_known_shapes():
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros((8, 3)), np.zeros(8)))
    stream = DatasetStream(dataset.batch(4, drop_remainder=True))
    assert stream.batch_size == 4
    x, y = stream.shards(0, range(1, 2), 2).element_spec
    assert (x.shape, y.shape) == ((2, 3), (2,))
    with pytest.raises(UserError, match=r"evenly over 3 replicas.* rows: 4"):
        stream.shards(0, range(3), 3)


def test_a_user_batch_that_cannot_be_dealt_says_so():
    stream = DatasetStream(tf.data.Dataset.range(5).batch(3))
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be split evenly over 3"):
        take(stream, 2, shard_ids=range(3), num_shards=3)


def test_a_user_batch_without_rows_is_an_error_that_names_the_stream():
    """TensorFlow's `unbatch` would end the process."""
    batches = tf.data.Dataset.from_tensor_slices([3, 0]).map(lambda n: tf.zeros([n, 2]))
    stream = DatasetStream(batches, "meta")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        take(stream, 2)
    assert problem_of(caught.value).startswith("in the `meta` data, a batch has no rows")


def test_the_whole_of_a_user_data_set_is_one_pass_which_must_end_and_hold_something():
    dataset = tf.data.Dataset.from_tensor_slices((np.arange(5), -np.arange(5))).batch(2)
    x, y = DatasetStream(dataset).whole()
    assert (x.numpy().tolist(), y.numpy().tolist()) == ([0, 1, 2, 3, 4], [0, -1, -2, -3, -4])
    with pytest.raises(UserError, match="repeats forever"):
        DatasetStream(dataset.repeat()).whole()
    with pytest.raises(UserError, match="is empty"):
        DatasetStream(dataset.take(0)).whole()


def test_a_look_at_the_beginning_of_a_shuffled_data_set_counts_as_one_pass():
    def passes(look):
        tf.random.set_seed(0)
        stream = DatasetStream(tf.data.Dataset.range(24).shuffle(24, seed=1).batch(8))
        if look:
            next(iter(stream.beginning().shards(0, range(1), 1)))
        shards = stream.shards(0, range(1), 1).take(9).as_numpy_iterator()
        return np.concatenate(list(shards)).reshape(3, 24)

    np.testing.assert_array_equal(passes(look=True)[:2], passes(look=False)[1:])
