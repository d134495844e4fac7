"""Image augmentation: uint8 in, uint8 out, and every random number an argument.

Whole batches are copied by index (`tf.gather`), which on a CPU is several times as fast as
`tf.where` or `tf.image` on single images.
"""

import tensorflow as tf

from tf_metamixup.core import rng
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.image_files import resize
from tf_metamixup.data.randaugment import randaugment

# Of an ImageNet crop: He et al. (2016) resize the short side to 256 for a crop of 224.
_SHORT_SIDE = 256 / 224


def flip(images: tf.Tensor, coin: tf.Tensor) -> tf.Tensor:
    """Mirrors the images [N, H, W, C] whose `coin`, bool [N], is true, left to right."""
    count = tf.shape(images)[0]
    # As one tall image, since `tf.reverse` has a fast path for the middle axis of three.
    tall = tf.reshape(images, [-1, *images.shape[2:]])
    both = tf.concat([images, tf.reshape(tf.reverse(tall, [1]), tf.shape(images))], 0)
    mirrored = tf.gather(both, tf.range(count) + count * tf.cast(coin, tf.int32))
    return tf.ensure_shape(mirrored, images.shape)


def shift(images: tf.Tensor, offsets: tf.Tensor, limit: int) -> tf.Tensor:
    """Moves images [N, H, W, C] by `offsets`, int [N, 2] (down, right), reflecting at the border.

    The border pixel itself is not repeated, as in `np.pad(mode="reflect")`.

    Args:
        images: of any type.
        offsets: each within plus or minus `limit`.
        limit: must be smaller than the image, since one reflection is all there is.

    Raises:
        UserError: for a `limit` as large as the image.
    """
    height, width = images.shape[1:3]
    if limit >= min(height, width):
        raise UserError(f"cannot shift images of {height}x{width} by {limit} pixels")
    offsets = tf.cast(offsets, tf.int32)
    rows = _reflect(tf.range(height) - offsets[:, :1], height)
    columns = _reflect(tf.range(width) - offsets[:, 1:], width)
    moved = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(moved, columns, axis=2, batch_dims=1)


def augment(
    images: tf.Tensor,
    draws: rng.Draws,
    purpose: str,
    *,
    flip: bool,
    shift: int,
    strong: bool = False,
) -> tf.Tensor:
    """Augments images, uint8 [N, H, W, C], at random.

    Args:
        images: all of one size.
        draws: of the step and the rows.
        purpose: tells these random numbers from others.
        flip: whether half of them are mirrored.
        shift: by up to so many pixels each is moved.
        strong: whether `randaugment` follows.
    """
    rows = tf.shape(images)[0]
    if flip:
        images = _flip(images, draws.uniform(f"{purpose}/flip", rows) < 0.5)
    if shift:
        offsets = draws.integers(f"{purpose}/shift", rows, -shift, shift + 1, (2,))
        images = _shift(images, offsets, shift)
    return randaugment(images, draws, purpose) if strong else images


# The switches of `augment` carry the names of the functions they switch.
_flip, _shift = flip, shift


def random_crop(encoded: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """Takes the random-resized crop of ImageNet training (Szegedy et al. 2015), [size, size, 3].

    8 to 100 % of the area, at an aspect ratio of 3/4 to 4/3; only the crop is decoded.

    Args:
        encoded: one JPEG, a scalar string.
        size: of the result.
        seed: int [2], which decides the crop.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(encoded),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        use_image_if_no_bounding_boxes=True,
    )
    return _crop(encoded, begin[:2], extent[:2], size)


def center_crop(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the centre crop of ImageNet evaluation, uint8 [size, size, 3], of one encoded JPEG.

    Resizing the short side to `round(256 * size / 224)` and cutting `size` out of its middle, in
    the other order, so that only the crop is decoded.
    """
    shape = tf.io.extract_jpeg_shape(encoded)[:2]
    share = size / round(_SHORT_SIDE * size)
    side = tf.cast(tf.round(share * tf.cast(tf.reduce_min(shape), tf.float32)), tf.int32)
    side = tf.maximum(side, 1)
    return _crop(encoded, (shape - side) // 2, tf.stack([side, side]), size)


def _crop(encoded: tf.Tensor, begin: tf.Tensor, extent: tf.Tensor, size: int) -> tf.Tensor:
    window = tf.concat([begin, extent], 0)
    return resize(tf.image.decode_and_crop_jpeg(encoded, window, channels=3), [size, size])


def _reflect(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Folds positions in (-size, 2 * size - 1) back into [0, size)."""
    return size - 1 - tf.abs(size - 1 - tf.abs(positions))
