import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tf_metamixup.core.rng import Draws
from tf_metamixup.data.randaugment import OPERATIONS, apply, cutout, randaugment

HEIGHT, WIDTH = 10, 12
# What each operation is by name, of an image and its strength.
PILLOW = {
    "autocontrast": lambda image, v: ImageOps.autocontrast(image),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "equalize": lambda image, v: ImageOps.equalize(image),
    "identity": lambda image, v: image,
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
    "rotate": lambda image, v: image.rotate(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
    "shear_x": lambda image, v: warped(image, (1, v, 0, 0, 1, 0)),
    "shear_y": lambda image, v: warped(image, (1, 0, 0, v, 1, 0)),
    "solarize": lambda image, v: ImageOps.solarize(image, v),
    "translate_x": lambda image, v: warped(image, (1, 0, v * WIDTH, 0, 1, 0)),
    "translate_y": lambda image, v: warped(image, (1, 0, 0, 0, 1, v * HEIGHT)),
}


def warped(image, numbers):
    return image.transform(image.size, Image.Transform.AFFINE, numbers)


def smooth(channels, count=5):
    """Blurred noise, and one image of a single colour."""
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 256, (count, 4, 4, channels)).astype(np.uint8)
    coarse[-1] = 77
    images = [Image.fromarray(np.squeeze(each)).resize((WIDTH, HEIGHT), 2) for each in coarse]
    return np.stack(images).reshape(count, HEIGHT, WIDTH, channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_operation_is_what_pillow_computes(channels):
    assert PILLOW.keys() == OPERATIONS.keys()
    images = smooth(channels)
    strength = np.linspace(0, 0.99, len(images), dtype=np.float32)
    for number, (name, (_, low, high)) in enumerate(OPERATIONS.items()):
        expected = [
            PILLOW[name](Image.fromarray(np.squeeze(image)), float(low + (high - low) * each))
            for image, each in zip(images, strength, strict=True)
        ]
        actual = apply(tf.constant(images), tf.fill([len(images)], number), strength).numpy()
        assert actual.dtype == np.uint8
        expected = np.stack(expected).reshape(images.shape).astype(int)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1, err_msg=name)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 8), (8, 2)])
def test_images_of_few_rows_or_columns_are_taken(height, width):
    images = tf.constant(np.full((1, height, width, 3), 9, np.uint8))
    for number in range(len(OPERATIONS)):
        assert apply(images, tf.constant([number]), np.float32([0.5])).shape == images.shape


def test_each_image_has_its_own_operation_and_strength():
    images = np.repeat(smooth(1, 2)[:1], 3, 0)
    which = [[*OPERATIONS].index(name) for name in ("solarize", "identity", "translate_x")]
    changed = apply(tf.constant(images), tf.constant(which), tf.constant([0.0, 0.5, 0.5])).numpy()
    np.testing.assert_array_equal(changed[0], 255 - images[0])
    np.testing.assert_array_equal(changed[1:], images[1:])


def test_cutout_paints_a_grey_square_that_the_border_cuts_off():
    images = tf.zeros([2, 4, 6, 1], tf.uint8)
    painted = cutout(images, tf.constant([[0.5, 0.5], [0.0, 0.99]]), tf.constant([1 / 3, 1 / 3]))
    expected = np.zeros([2, 4, 6])
    expected[0, 1:3, 2:4] = expected[1, :1, 5:] = 127
    np.testing.assert_array_equal(painted[..., 0], expected)


def test_the_strong_view_changes_most_images_each_in_its_own_way():
    images = tf.constant(np.repeat(smooth(3)[:1], 64, 0))
    strong = randaugment(images, Draws.at(0, 0), "a").numpy()
    assert (strong.shape, strong.dtype) == (images.shape, np.uint8)
    assert len({each.tobytes() for each in strong}) > 56
    np.testing.assert_array_equal(randaugment(images, Draws.at(0, 0), "a"), strong)
    assert (randaugment(images, Draws.at(0, 0), "b").numpy() != strong).any()
