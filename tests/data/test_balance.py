import numpy as np
import pytest

from tf_metamixup.data import balance, pipeline
from tf_metamixup.data.images import InMemory

# 100, 25 and 4 images of the classes 0, 1 and 2, mixed.
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 25, 4]))


@pytest.mark.parametrize(("how", "sizes"), [("sqrt", [100, 50, 20]), ("equal", [100, 100, 100])])
def test_rare_classes_are_repeated_each_image_as_often_up_to_one(how, sizes):
    drawn = balance.repeated(LABELS, how, seed=0)
    assert np.bincount(LABELS[drawn]).tolist() == sizes
    times = np.bincount(drawn, minlength=len(LABELS))
    assert times.min() >= 1
    for c in range(3):
        assert np.ptp(times[c == LABELS]) <= 1


def test_which_images_are_repeated_is_a_matter_of_the_seed():
    labels = np.repeat([0, 1], [30, 20])
    one, again, other = (balance.repeated(labels, "equal", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_stream_of_repeated_images_is_balanced_resumable_and_shared_by_replicas():
    images = np.arange(len(LABELS), dtype=np.uint8)[:, None, None, None]
    drawn = balance.repeated(LABELS, "equal", seed=0)
    stream = pipeline.stream(
        InMemory(images, LABELS), drawn, batch_size=20, seed=0, purpose="labelled"
    )
    assert len(stream.whole()[0]) == len(LABELS)  # kept once

    def read(start, steps, **shards):
        pieces = stream.shards(start, **{"shard_ids": range(1), "num_shards": 1} | shards)
        return [x.ravel().tolist() for x, _ in pieces.take(steps).as_numpy_iterator()]

    batches = read(0, 15)
    assert sorted(np.concatenate(batches).tolist()) == drawn.tolist()
    assert read(9, 6) == batches[9:]
    halves = read(3, 4, shard_ids=range(2), num_shards=2)
    assert [one + two for one, two in zip(halves[::2], halves[1::2], strict=True)] == batches[3:5]
