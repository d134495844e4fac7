"""Image files of any size and mode as uint8 arrays of the shape that a network takes."""

import collections
import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, UnidentifiedImageError

from tf_metamixup.core.errors import UserError, reason
from tf_metamixup.core.plurals import counted

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")

# What macOS and Synology leave beside images, with previews of them.
_CLUTTER = ("__MACOSX", "@eaDir")

# A JPEG is decoded at least so many times as large as needed. From 3 on Pillow's documentation (of
# `reducing_gap`) calls what comes of it the same as the whole image in most cases.
_DRAFT = 3

# Of 16 bits: cameras that measure 12 of them use fewer values.
_FEW_LEVELS = 8192

_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableError(UserError):
    """Says that a file is not the image that it should be; every function here raises it."""


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is passed over."""
    return name.startswith(".") or name in _CLUTTER


def find(folder: Path) -> tuple[list[Path], list[tuple[str, Path]]]:
    """Finds the image files below a folder, sorted; links are followed.

    Returns the files, and what is left out as (why, path).

    Raises:
        UserError: a folder cannot be listed.
    """
    images, left_out, entered = [], [], set()

    def enter(directory: Path) -> None:
        status = directory.stat()
        if (status.st_dev, status.st_ino) in entered:  # else links in a circle would never end
            left_out.append(("linked to twice", directory))
            return
        entered.add((status.st_dev, status.st_ino))
        for path in sorted(directory.iterdir()):
            if is_hidden(path.name):
                left_out.append(("hidden", path))
            elif path.is_dir():
                enter(path)
            elif path.suffix.lower() not in SUFFIXES:
                left_out.append((path.suffix.lower() or "without a suffix", path))
            elif path.exists() and not path.is_file():  # a pipe would never end either
                left_out.append(("not a regular file", path))
            else:
                images.append(path)

    try:
        enter(folder)
    except OSError as error:
        raise UserError(f"cannot list {error.filename}: {error.strerror}") from error
    return images, left_out


def describe_left_out(left_out: Sequence[tuple[str, Path]]) -> str:
    """Describes in one line what was left out: how many of each kind, and the first of them."""
    kinds = collections.defaultdict(list)
    for why, path in left_out:
        kinds[why].append(path)
    counts = [
        f"{len(paths)} {why} ({paths[0]}{', ...' * (len(paths) > 1)})"
        for why, paths in kinds.items()
    ]
    return f"left out {counted(len(left_out), 'item')}: {', '.join(counts)}"


def header(path: Path) -> tuple[tuple[int, int], int]:
    """Returns ((H, W), channels), 1 for grey or 3, without decoding the image."""
    with _readable(path), Path(path).open("rb") as file, Image.open(file) as image:
        height, width = image.height, image.width
        # Of a PNG that has no EXIF before its pixels Pillow would decode the pixels to look for it.
        known = image.format != "PNG" or "exif" in image.info
        if known and _orientation(image) in (5, 6, 7, 8):  # by a quarter
            height, width = width, height
        grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;")
    return (height, width), 1 if grey else 3


def load(path: str | Path) -> bytes:
    """Returns the bytes of a file, or raises UnreadableError."""
    with _readable(path):
        return Path(path).read_bytes()


def read(path: Path, shape: Sequence[int]) -> np.ndarray:
    """Reads and decodes an image; see `decode`."""
    return decode(load(path), path, shape)


def decode(content: bytes, path: str | Path, shape: Sequence[int]) -> np.ndarray:
    """Decodes an image as uint8 `shape`, (H, W, 1 or 3): made grey or colour, and resized.

    It is turned as its EXIF orientation says; transparent pixels are composited on white; of an
    animation the first frame is taken. 16 bits are scaled to 8, and floats from 0..1. `path` is for
    messages.
    """
    height, width, channels = shape
    with _readable(path), Image.open(io.BytesIO(content)) as image:
        # Decodes a JPEG that is far larger at a half, a quarter or an eighth of its size.
        image.draft(None, [_DRAFT * max(height, width)] * 2)
        image.load()
        turned = _TURNED.get(_orientation(image))
        if image.mode[0] in "IF":
            image = _scaled_to_8_bits(image)
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if turned is not None:
            image = image.transpose(turned)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)  # with anti-aliasing
        return np.asarray(image).reshape(height, width, channels)


def check(content: bytes, path: str | Path, shape: Sequence[int]) -> None:
    """Decodes an image in whatever way is quickest, to see whether `decode` can."""
    with _readable(path), Image.open(io.BytesIO(content)) as image:
        # Of a JPEG an eighth of the rows and columns, which reads all of the file.
        image.draft(image.mode, (1, 1))
        image.load()
        if image.mode[0] in "IF":
            _scaled_to_8_bits(image)


def resize(images: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Resizes uint8 [..., H, W, C] to `size`, (height, width), with anti-aliasing."""
    resized = tf.image.resize(images, size, antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation that Pillow leaves to do; it turns TIFF by itself."""
    if image.format == "TIFF":
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # of damaged EXIF anything; the pixels may be sound
        return 1


def _scaled_to_8_bits(image: Image.Image) -> Image.Image:
    """Scales grey of 16 bits, or of floats in 0..1."""
    values, most = np.asarray(image), 1 if image.mode == "F" else 65535
    if not np.isfinite(values).all():
        raise ValueError("a pixel is NaN or infinite")
    if not ((values >= 0) & (values <= most)).all():
        raise ValueError(
            f"its values range from {values.min():g} to {values.max():g}, but greyscale images of "
            f"this type are read as 0 to {most}; convert it to 8 bits"
        )
    if most == 65535 and 0 < values.max(initial=0) < _FEW_LEVELS:
        warnings.warn(
            f"a 16-bit image has no value above {_FEW_LEVELS - 1:,} of {most:,}, so few of the "
            "256 grey levels are used: scale such images to the full range, or save them with 8 "
            "bits",
            stacklevel=2,
        )
    pixels = np.round(values * (255 / most)).astype(np.uint8)
    pixels[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(pixels)


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Pillow's decoders raise what they like
        problem = reason(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # which shows the buffer, not the file
            problem = "it is not an image, or not in a supported format"
        raise UnreadableError(f"cannot read the image {path}: {problem}") from error
