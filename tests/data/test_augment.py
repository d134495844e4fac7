import numpy as np
import pytest
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws, root
from tf_metamixup.data import augment


def images(count=6, height=5, width=4, channels=3):
    return (
        np.random.default_rng(0).integers(0, 256, (count, height, width, channels)).astype(np.uint8)
    )


def jpeg(height, width):
    """Red grows downwards and green to the right, so that a crop shows where it was cut."""
    red, green = np.mgrid[0:height, 0:width]
    image = np.stack([255 * red / height, 255 * green / width, 0 * red], -1)
    return tf.io.encode_jpeg(image.astype(np.uint8), quality=100)


def test_flip_mirrors_only_where_the_coin_says():
    x = images()
    coin = np.array([True, False, False, True, True, False])
    flipped = augment.flip(tf.constant(x), coin).numpy()
    np.testing.assert_array_equal(flipped[coin], x[coin, :, ::-1])
    np.testing.assert_array_equal(flipped[~coin], x[~coin])


def test_shift_reflects_a_row_of_pixels_at_the_border():
    row = np.array([1, 2, 3, 4, 5], np.uint8).reshape(1, 1, 5, 1)
    x = np.tile(row, (5, 3, 1, 1))  # three equal rows, so that only the shift to the side shows
    offsets = np.array([[0, 0], [0, 1], [0, 2], [0, -1], [0, -2]])
    moved = augment.shift(tf.constant(x), offsets, 2).numpy()[:, 0, :, 0]
    np.testing.assert_array_equal(
        moved,
        [[1, 2, 3, 4, 5], [2, 1, 2, 3, 4], [3, 2, 1, 2, 3], [2, 3, 4, 5, 4], [3, 4, 5, 4, 3]],
    )


def test_shift_equals_cutting_out_of_a_reflected_border():
    x = images()
    offsets = np.array([[-2, 1], [2, 2], [0, -2], [1, 0], [-1, -1], [2, -1]])
    moved = augment.shift(tf.constant(x), offsets, 2).numpy()
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    for i, (down, right) in enumerate(offsets):
        np.testing.assert_array_equal(
            moved[i], padded[i, 2 - down : 7 - down, 2 - right : 6 - right]
        )


def test_shift_refuses_more_than_one_reflection():
    with pytest.raises(UserError, match="5x4 by 4"):
        augment.shift(tf.constant(images()), np.zeros((6, 2)), 4)


def test_augment_is_a_function_of_its_draws_and_purpose():
    x = tf.constant(images(64))

    def result(step=0, purpose="a", **options):
        options = {"flip": True, "shift": 2, **options}
        return augment.augment(x, Draws.at(0, step), purpose, **options).numpy()

    assert result().dtype == np.uint8
    np.testing.assert_array_equal(result(), result())
    assert (result() != result(step=1)).any()
    assert (result() != result(purpose="b")).any()
    np.testing.assert_array_equal(result(flip=False, shift=0), x)
    mirrored = (result(shift=0) == x.numpy()[:, :, ::-1]).all((1, 2, 3))
    assert 16 < mirrored.sum() < 48
    kept = (result(flip=False) == x.numpy()).all((1, 2, 3))
    assert kept.sum() < 16


def test_augment_works_on_a_batch_of_unknown_size():
    x = images()
    known = augment.augment(tf.constant(x), Draws.at(0, 0), "a", flip=True, shift=1)
    traced = tf.function(
        lambda x: augment.augment(x, Draws.at(0, 0), "a", flip=True, shift=1),
        input_signature=[tf.TensorSpec([None, 5, 4, 3], tf.uint8)],
    )
    np.testing.assert_array_equal(traced(x), known)


def test_the_centre_crop_leaves_out_equal_borders():
    crop = augment.center_crop(jpeg(128, 256), 56).numpy().astype(float)  # short side 64
    assert crop.shape == (56, 56, 3)
    # Of the 128 rows, 112 remain: from 8 / 128 to 120 / 128 of 255. Of the 256 columns, 72 to 184.
    assert crop[0, 28, 0] == pytest.approx(255 * 9 / 128, abs=4)
    assert crop[-1, 28, 0] == pytest.approx(255 * 119 / 128, abs=4)
    assert crop[28, 0, 1] == pytest.approx(255 * 73 / 256, abs=4)
    assert crop[28, -1, 1] == pytest.approx(255 * 183 / 256, abs=4)


def test_random_crops_stay_in_the_allowed_area_and_ratio():
    encoded = jpeg(200, 300)
    areas, ratios = [], []
    for seed in range(60):
        crop = augment.random_crop(encoded, 32, tf.constant([seed, 1])).numpy().astype(float)
        assert crop.shape == (32, 32, 3)
        # What a crop spans, read off the two ramps; 31 of its 32 pixels lie between the ends.
        high = (crop[-1, 16, 0] - crop[0, 16, 0]) * 32 / 31 / 255 * 200
        wide = (crop[16, -1, 1] - crop[16, 0, 1]) * 32 / 31 / 255 * 300
        areas.append(high * wide / (200 * 300))
        ratios.append(wide / high)
    assert 0.06 < min(areas) < 0.25 and 0.7 < max(areas) < 1.05
    assert 0.7 < min(ratios) < 0.85 and 1.2 < max(ratios) < 1.45


def test_a_random_crop_is_a_function_of_its_seed():
    encoded = jpeg(60, 40)
    first = augment.random_crop(encoded, 16, root(0)).numpy()
    np.testing.assert_array_equal(first, augment.random_crop(encoded, 16, root(0)))
    assert (first != augment.random_crop(encoded, 16, root(1)).numpy()).any()
