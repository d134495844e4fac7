"""RandAugment and Cutout as FixMatch's strong view has them: uint8 in, uint8 out.

Cubuk et al. (2020) with the operations, ranges and random strengths of Sohn et al. (2020, appendix;
microsoft/Semi-supervised-learning has the same list), and what Pillow computes. On a batch at once,
and with every random number an argument: `keras.layers.RandAugment` (3.15) draws its own from a
counter, and the operations once for a whole batch.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from tf_metamixup.core import rng

# Per image, drawn with replacement.
_ROUNDS = 2
# Cutout's square is at most this share of the width, and of this colour.
_CUTOUT, _GREY = 0.5, 127


def randaugment(images: tf.Tensor, draws: rng.Draws, purpose: str) -> tf.Tensor:
    """Applies two drawn operations and Cutout to each of images, uint8 [N, H, W, C]."""
    rows = tf.shape(images)[0]
    for number in range(_ROUNDS):
        which = draws.integers(f"{purpose}/operation{number}", rows, 0, len(OPERATIONS))
        strength = draws.uniform(f"{purpose}/strength{number}", rows)
        images = apply(images, which, strength)
    square = draws.uniform(f"{purpose}/cutout", rows, (3,))
    return cutout(images, square[:, :2], _CUTOUT * square[:, 2])


def apply(images: tf.Tensor, which: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Applies to each image its operation.

    Args:
        images: uint8 [N, H, W, C], C 1 or 3.
        which: int32 [N], positions in `OPERATIONS`.
        strength: [N] in [0, 1), places in the range of the operation.
    """

    def parts(values):
        return tf.dynamic_partition(values, which, len(OPERATIONS))

    done = [
        operation(x, low + (high - low) * place)
        for (operation, low, high), x, place in zip(
            OPERATIONS.values(), parts(images), parts(strength), strict=True
        )
    ]
    rows = tf.range(tf.shape(images)[0])
    return tf.ensure_shape(tf.dynamic_stitch(parts(rows), done), images.shape)


def cutout(images: tf.Tensor, center: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Paints a grey square (DeVries and Taylor 2017) on each image, cut off at the border.

    Args:
        images: uint8 [N, H, W, C].
        center: [N, 2] in [0, 1), as shares of height and width.
        side: [N], as a share of the width.
    """
    half = side[:, None] * images.shape[2] / 2
    # Unstacked: TensorFlow's optimizer breaks `center[:, axis, None]` of what was just stacked.
    rows, columns = (
        abs(tf.range(length, dtype=center.dtype) + 0.5 - middle[:, None] * length) < half
        for length, middle in zip(images.shape[1:3], tf.unstack(center, 2, axis=1), strict=True)
    )
    inside = (rows[:, :, None] & columns[:, None, :])[..., None]
    return tf.where(inside, tf.constant(_GREY, images.dtype), images)


def _blended(images: tf.Tensor, other: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns share * images + (1 - share) * other."""
    share = share[:, None, None, None]
    mixed = share * tf.cast(images, tf.float32) + (1 - share) * tf.cast(other, tf.float32)
    return tf.saturate_cast(mixed, tf.uint8)


def _luminance(images: tf.Tensor) -> tf.Tensor:
    """Returns int32 [N, H, W, 1], by the weights of ITU-R 601-2; sums of it are exact."""
    if images.shape[-1] == 1:
        return tf.cast(images, tf.int32)
    weighted = tf.cast(images, tf.int32) * [19595, 38470, 7471]
    return (tf.reduce_sum(weighted, -1, keepdims=True) + 2**15) // 2**16


def _autocontrast(images, _):
    x = tf.cast(images, tf.float32)
    low, high = (f(x, (1, 2), keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    stretched = tf.math.divide_no_nan(255 * (x - low), high - low)
    return tf.where(high > low, tf.saturate_cast(stretched, tf.uint8), images)


def _contrast(images, share):
    grey = _luminance(images)
    pixels = images.shape[1] * images.shape[2]
    total = tf.reduce_sum(grey, (1, 2, 3), keepdims=True)
    return _blended(images, (2 * total + pixels) // (2 * pixels), share)


def _equalize(images, _):
    """Spreads the values of each channel evenly, by its histogram."""
    planes = tf.transpose(tf.cast(images, tf.int32), [0, 3, 1, 2])
    flat = tf.reshape(planes, [-1, images.shape[1] * images.shape[2]])
    count = tf.shape(flat)[0]
    places = flat + 256 * tf.range(count)[:, None]
    histogram = tf.reshape(
        tf.math.bincount(tf.reshape(places, [-1]), minlength=256 * count), [count, 256]
    )
    last = tf.reduce_max(flat, 1, keepdims=True)
    step = (tf.shape(flat)[1] - tf.gather(histogram, last, batch_dims=1)) // 255
    table = (step // 2 + tf.cumsum(histogram, 1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.clip_by_value(table, 0, 255), tf.range(256))
    mapped = tf.reshape(tf.gather(tf.reshape(table, [-1]), places), tf.shape(planes))
    return tf.cast(tf.transpose(mapped, [0, 2, 3, 1]), tf.uint8)


def _posterize(images, bits):
    lost = tf.cast(2 ** (8 - tf.cast(tf.floor(bits), tf.int32)), tf.uint8)[:, None, None, None]
    return images // lost * lost


def _sharpness(images, share):
    """Blends with a smoothed image, of which the border stays as it is."""
    if min(images.shape[1:3]) < 3:  # nothing but border
        return images
    x = tf.cast(images, tf.float32)
    inner = x[:, 1:-1, 1:-1]
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    # The middle weighs 5, its neighbours 1; sums of integers, which no order of adding changes.
    smooth = (box + 4 * inner) / 13
    difference = tf.pad(smooth - inner, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.saturate_cast(x + (1 - share)[:, None, None, None] * difference, tf.uint8)


def _solarize(images, threshold):
    over = tf.cast(images, tf.float32) >= threshold[:, None, None, None]
    return tf.where(over, 255 - images, images)


def _warped(images, *, a=1.0, b=0.0, c=0.0, d=0.0, e=1.0, f=0.0):
    """Takes the place (x, y) from (a x + b y + c, d x + e y + f); black outside."""
    count = tf.shape(images)[0]
    # Places are those of the middles of pixels, and TensorFlow counts from the first middle.
    c, f = c + (a + b - 1) / 2, f + (d + e - 1) / 2
    numbers = [tf.broadcast_to(each, [count]) for each in (a, b, c, d, e, f, 0.0, 0.0)]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(numbers, 1),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
    )


def _rotate(images, degrees):
    sine, cosine = tf.sin(degrees * math.pi / 180), tf.cos(degrees * math.pi / 180)
    x, y = images.shape[2] / 2, images.shape[1] / 2
    return _warped(
        images,
        **{"a": cosine, "b": -sine, "c": x - cosine * x + sine * y},
        **{"d": sine, "e": cosine, "f": y - sine * x - cosine * y},
    )


# By name: what is done, and the range of its strength.
OPERATIONS: dict[str, tuple[Callable, float, float]] = {
    "autocontrast": (_autocontrast, 0, 1),
    "brightness": (lambda images, s: _blended(images, tf.zeros_like(images), s), 0.05, 0.95),
    "color": (lambda images, s: _blended(images, _luminance(images), s), 0.05, 0.95),
    "contrast": (_contrast, 0.05, 0.95),
    "equalize": (_equalize, 0, 1),
    "identity": (lambda images, _: images, 0, 1),
    "posterize": (_posterize, 4, 8),
    "rotate": (_rotate, -30, 30),
    "sharpness": (_sharpness, 0.05, 0.95),
    "shear_x": (lambda images, s: _warped(images, b=s), -0.3, 0.3),
    "shear_y": (lambda images, s: _warped(images, d=s), -0.3, 0.3),
    "solarize": (_solarize, 0, 256),
    "translate_x": (lambda images, s: _warped(images, c=s * images.shape[2]), -0.3, 0.3),
    "translate_y": (lambda images, s: _warped(images, f=s * images.shape[1]), -0.3, 0.3),
}
