"""A data set of image files, once they are listed by part: `folder_source` and `table_source`."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import image_files
from tf_metamixup.data.contents import checksum, listing
from tf_metamixup.data.images import (
    DEFAULT_SIZE,
    MAX_BYTES,
    InMemory,
    Source,
    fits,
)

# What training may look at; `val` and `test` are the other parts.
TRAINED_ON = ("train", "unlabelled", "trusted")
JUDGED_BY = ("val", "test")
PARTS = (*TRAINED_ON, *JUDGED_BY)
_NAMED = 5  # of files that cannot be read
# Without --image_size. A batch of activations takes hundreds of times the memory of its images.
_LARGE = 2**20  # pixels


class Listed(NamedTuple):
    """Holds an image file of a part.

    Attributes:
        path: of the file.
        label: position of its class, or `images.UNLABELLED`.
        name: of the file within its part, for records.
    """

    path: Path
    label: int
    name: str


def read(
    name: str,
    classes: Sequence[str],
    parts: Mapping[str, Sequence[Listed]],
    size: int | None,
    *,
    skip: bool,
    contents: Mapping[str, str] | None = None,
) -> Source:
    """Reads the images of all parts.

    Args:
        name: of the data set, as it was asked for.
        classes: their names.
        parts: the files, by names of `PARTS`; those without a file may be left out.
        size: see `sources.load`.
        skip: whether files that cannot be read are skipped.
        contents: checksums of what else the data set was read from.

    Raises:
        UserError: images that do not fit into memory, or cannot be read and are not skipped;
            classes that `train` lacks.
    """
    _check_classes(name, classes, parts)
    reader = _Reader(parts)
    if not reader.headers:
        raise UserError(f"{name}: no image can be read; {reader.problems[0]}")
    shape = _shape(name, list(reader.headers.values()), size)
    trained_on, members = reader.read(TRAINED_ON, shape)
    val, test = (reader.read([part], shape)[0] if parts.get(part) else None for part in JUDGED_BY)
    if reader.problems:
        _tell(reader.problems, sum(map(len, parts.values())), skip=skip)
    for c in sorted(set(range(len(classes))) - set(trained_on.labels.tolist())):
        raise UserError(f"{name}: the class {classes[c]!r} holds no image that can be read")
    return Source(
        name,
        list(classes),
        shape,
        True,
        trained_on,
        test,
        {**(contents or {}), **reader.contents},
        val,
        np.flatnonzero(np.array(members) == "trusted"),
    )


class _Reader:
    """Reads files, and keeps what cannot be read and the checksums of all.

    Args:
        parts: as of `read`.

    Attributes:
        problems: a line for each file that cannot be read.
        headers: ((H, W), channels) by path, of those that can.
        contents: checksums by part and name.
    """

    def __init__(self, parts: Mapping[str, Sequence[Listed]]):
        self._parts = parts
        self.problems: list[str] = []
        self.contents: dict[str, str] = {}
        self.headers = {
            entry.path: header
            for part in parts.values()
            for entry in part
            if (header := self._try(image_files.header, entry.path))
        }

    def read(self, parts: Sequence[str], shape: tuple) -> tuple[InMemory, list[str]]:
        """Returns the images of some parts, and the part of each."""
        listed = [(part, entry) for part in parts for entry in self._parts.get(part, ())]
        images, kept = np.empty((len(listed), *shape), np.uint8), []
        for part, entry in listed:
            pixels = self._pixels(part, entry, shape)
            if pixels is not None:
                images[len(kept)] = pixels
                kept.append((part, entry))
        labels = np.array([entry.label for _, entry in kept], np.int64)
        ids = [entry.name if part == "train" else f"{part}/{entry.name}" for part, entry in kept]
        return InMemory(images[: len(kept)], labels, ids), [part for part, _ in kept]

    def _pixels(self, part: str, entry: Listed, shape: tuple) -> np.ndarray | None:
        readable = entry.path in self.headers
        content = self._try(image_files.load, entry.path) if readable else None
        self.contents[f"{part}/{entry.name}"] = checksum(content or b"")
        if content is None:
            return None
        return self._try(image_files.decode, content, entry.path, shape)

    def _try(self, read: Callable, *arguments):
        """What `read` returns, or None and one more of the `problems`."""
        try:
            return read(*arguments)
        except image_files.UnreadableError as error:
            self.problems.append(str(error))
            return None


def _check_classes(
    name: str, classes: Sequence[str], parts: Mapping[str, Sequence[Listed]]
) -> None:
    """Says in one line which classes a part of checked or of evaluated images has not."""
    for part in ("trusted", *JUDGED_BY):
        there = {entry.label for entry in parts.get(part, ())}
        if there and (lacking := [label for c, label in enumerate(classes) if c not in there]):
            told = (
                "so the meta set has none of them"
                if part == "trusted"
                else "so nothing is measured of them"
            )
            warnings.warn(
                f"{name}: {part} has no image of {listing(lacking)}, {told}", stacklevel=2
            )


def _shape(name: str, headers: Sequence[tuple[tuple[int, int], int]], size: int | None) -> tuple:
    """(H, W, C) of the data set, if so many images of that shape can be trained on.

    Decided on the headers alone, since decoding large photos takes minutes.
    """
    sizes, channels = zip(*headers, strict=True)
    count, asked = len(headers), size
    if size is None and len(set(sizes)) > 1:
        size = DEFAULT_SIZE
    height, width = (size, size) if size else sizes[0]
    shape = (height, width, max(channels))
    if fits(count, shape) and (size or height * width <= _LARGE):
        return shape
    largest = min(math.isqrt(MAX_BYTES // (count * shape[2])), math.isqrt(_LARGE))
    need = count * math.prod(shape) / 2**30
    given = f"--image_size={asked}: " if asked else ""
    raise UserError(
        f"{name}: {given}{count} images of {width} x {height} pixels are too large to train on: "
        f"{need:.3g} GiB (at most {MAX_BYTES / 2**30:.3g}; without --image_size, at most a "
        f"megapixel an image). --image_size={min(DEFAULT_SIZE, largest)}, or another side up to "
        f"{largest}, resizes them as they are read"
    )


def _tell(problems: Sequence[str], count: int, *, skip: bool) -> None:
    """Raises or warns of files that cannot be read."""
    more = ", ..." if len(problems) > _NAMED else ""
    message = f"{len(problems)} of {count} images: {', '.join(problems[:_NAMED])}{more}"
    if not skip:
        raise UserError(
            f"{message}; mend or remove them, or skip such images with --corrupt_images=skip"
        )
    warnings.warn(f"skipped {message}", stacklevel=2)
