import numpy as np
import pytest

from tests import tiny
from tf_metamixup.data import ArrayStream
from tf_metamixup.data.joined_stream import JoinedStream


@pytest.fixture(scope="module")
def joined():
    images, labels = tiny.images()

    def part(purpose, indices, batch_size):
        options = {"batch_size": batch_size, "seed": 0, "purpose": purpose}
        return ArrayStream(images, labels, indices, **options)

    return JoinedStream(part("labelled", np.arange(0, 60), 6), part("meta", np.arange(60, 96), 2))


def rows(stream, shard_ids=range(1), num_shards=1, start_step=0):
    return [part.numpy() for part in next(iter(stream.shards(start_step, shard_ids, num_shards)))]


def test_a_batch_holds_its_share_of_checked_images(joined):
    assert joined.batch_size == 8
    images, labels = rows(joined)
    assert images.shape == (8, *tiny.SHAPE)
    assert labels.shape == (8,)
    untrusted = joined.untrusted[rows(joined.numbered())[1]]
    assert untrusted.tolist() == [True] * 6 + [False] * 2


def test_every_shard_holds_the_same_share(joined):
    numbered = joined.numbered()
    for shard in range(2):
        numbers = rows(numbered, range(shard, shard + 1), 2)[1]
        assert joined.untrusted[numbers].tolist() == [True] * 3 + [False]


def test_row_groups_on_one_device_hold_the_shards_of_several(joined):
    grouped = JoinedStream(*joined._parts, groups=2)
    together = rows(grouped)
    shards = [rows(grouped, range(shard, shard + 1), 2) for shard in range(2)]
    for whole, parts in zip(together, zip(*shards, strict=True), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(parts))
    untrusted = grouped.untrusted[rows(grouped.numbered())[1]]
    assert untrusted.tolist() == [True, True, True, False] * 2


def test_a_number_is_the_position_of_the_image_in_the_whole(joined):
    images, labels = (part.numpy() for part in joined.whole())
    shown, numbers = rows(joined.numbered(), start_step=5)
    np.testing.assert_array_equal(images[numbers], shown)
    np.testing.assert_array_equal(labels[numbers], rows(joined, start_step=5)[1])


def test_labels_are_told_without_reading_an_image(joined, monkeypatch):
    _, labels = joined.whole()
    monkeypatch.delattr(ArrayStream, "whole")
    np.testing.assert_array_equal(joined.labels, labels)
    assert joined.untrusted.tolist() == [True] * 60 + [False] * 36
