import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup import data
from tf_metamixup.config import Config
from tf_metamixup.core.errors import UserError


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def prepared(source, **settings):
    config = Config(**settings).resolve()
    config = config.resolve(data=source.info)
    return data.prepare(source, config)


def first(stream):
    return next(iter(stream.shards(0, range(1), 1)))


def test_supervised_takes_everything_but_the_meta_set(digits):
    made = prepared(digits, batch_size=50)
    assert len(made.splits.meta) == 100
    assert len(made.splits.labelled) == len(digits.train.labels) - 100
    assert made.unlabelled is None
    assert made.epoch_steps == len(made.splits.labelled) // 50


def test_an_epoch_of_ssl_is_a_pass_over_the_unlabelled_images_for_every_method(digits):
    for method in ("supervised", "pseudo_label"):
        made = prepared(digits, mode="ssl", method=method, batch_size=50)
        assert len(made.splits.labelled) == 100
        assert made.epoch_steps == len(made.splits.unlabelled) // 50


def test_a_meta_set_smaller_than_the_batch_is_read_whole(digits):
    made = prepared(digits, num_meta=30, batch_size=50)
    images, *_ = first(made.meta)
    assert images.shape[0] == 30


def test_meta_images_are_not_augmented(digits):
    made = prepared(digits, shift=2, num_meta=30)
    images, labels = first(made.meta)
    stored = {(digits.train.images[i].tobytes(), digits.train.labels[i]) for i in made.splits.meta}
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
        assert (image.tobytes(), label) in stored


def test_unused_images_are_in_no_part_of_the_run(digits):
    made = prepared(digits, train_examples=300, num_meta=30, batch_size=50, evaluate_on="unused")
    used = {digits.train.images[i].tobytes() for i in (*made.splits.labelled, *made.splits.meta)}
    evaluated = np.concatenate([x for x, _ in made.test.as_numpy_iterator()])
    assert len(evaluated) == len(digits.test)
    assert not used & {image.tobytes() for image in evaluated}


def test_without_an_unused_image_there_is_nothing_to_choose_by(digits):
    with pytest.raises(UserError, match="no training image is unused"):
        prepared(digits, evaluate_on="unused", batch_size=50)


def test_labels_used_counts_the_meta_set_where_it_is_read(digits):
    made = prepared(digits, mode="ssl", batch_size=50)
    assert made.labels_used(reads_meta=False) == 100
    assert made.labels_used(reads_meta=True) == 200


def test_meta_images_that_are_trained_on_count_once(digits):
    made = prepared(digits, mode="ssl", batch_size=50, meta_source="train")
    assert made.labels_used(reads_meta=False) == made.labels_used(reads_meta=True) == 200


def test_no_more_test_images_are_looked_at_than_trained_on_in_between(digits):
    assert prepared(digits, batch_size=50).evaluate_every == 1
    made = prepared(digits, batch_size=20, train_examples=100)
    assert made.evaluate_every == -(-len(digits.test) // 100)


def test_a_batch_larger_than_the_data_is_reported(digits):
    with pytest.raises(UserError, match=r"--batch_size=50 .* 20 labelled .*--train_examples=20\)"):
        prepared(digits, batch_size=50, train_examples=20)
    with pytest.raises(UserError, match=r"--batch_size=50 .* 20 labelled .*--num_labels=20\)"):
        prepared(digits, mode="ssl", batch_size=50, num_labels=20)
    with pytest.raises(UserError, match=r"--batch_size=200 is larger than the 137 unlabelled"):
        prepared(digits, mode="ssl", batch_size=200, num_labels=1200)


def test_scale_brings_stored_images_to_minus_one_to_one():
    scaled = data.scale(tf.constant([0, 255], tf.uint8))
    np.testing.assert_allclose(scaled, [-1, 1])
