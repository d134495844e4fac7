"""Image files of any size and mode as uint8 arrays of the shape that a network takes."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_metamixup.core.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")


class UnreadableError(UserError):
    """A file that is not the image it should be."""


def header(path: Path) -> tuple[tuple[int, int], str]:
    """((H, W), mode of PIL), without decoding the image.

    Raises:
        UnreadableError: it is no image.
        UserError: it has more than 8 bits a channel.
    """
    with _opened(path) as image:
        size, mode = (image.height, image.width), image.mode
    _require_8_bits(path, mode)
    return size, mode


def read(path: Path, shape: Sequence[int]) -> np.ndarray:
    """The image as uint8 `shape`, (H, W, 1 or 3): converted to grey or colour, and resized.

    Raises:
        UnreadableError: it is no image, or damaged.
        UserError: it has more than 8 bits a channel.
    """
    with _opened(path) as image:
        mode, pixels = image.mode, np.asarray(image.convert("L" if shape[2] == 1 else "RGB"))
    _require_8_bits(path, mode)
    pixels = pixels.reshape(*pixels.shape[:2], shape[2])
    return pixels if pixels.shape == tuple(shape) else resize(pixels, shape[:2]).numpy()


def resize(images: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Resizes uint8 [..., H, W, C] to `size`, (height, width), with anti-aliasing."""
    resized = tf.image.resize(images, size, antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _require_8_bits(path: Path, mode: str) -> None:
    if mode[0] in "IF":
        raise UserError(f"{path}: images of more than 8 bits a channel must be converted to 8 bits")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"cannot read the image {path}: {error}") from error
