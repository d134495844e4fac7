"""A data set of image files, once they are listed by part: `folder_source` and `table_source`."""

import collections
import concurrent.futures
import contextlib
import math
import os
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_metamixup.core.bars import Bar
from tf_metamixup.core.errors import UserError
from tf_metamixup.data import copies, image_files
from tf_metamixup.data.contents import checksum, listing
from tf_metamixup.data.images import (
    DEFAULT_SIZE,
    MAX_BYTES,
    UNLABELLED,
    InMemory,
    Source,
    require_fits,
)
from tf_metamixup.data.stored_files import StoredFiles

# What training may look at; `val` and `test` are the other parts.
TRAINED_ON = ("train", "unlabelled", "trusted")
EVALUATED = ("val", "test")
PARTS = (*TRAINED_ON, *EVALUATED)
_NAMED = 5  # of files that cannot be read
_AT_ONCE = 64  # files
_SILENT_SECONDS = 5  # before a bar shows how many are read
_CONTAINER = Path("/sys/fs/cgroup/memory.max")  # of Linux control groups, version 2
# Pixels of a side, without --image_size: time and memory of a step grow with their square.
LARGEST_KEPT = 128


class Listed(NamedTuple):
    """Holds an image file of a part."""

    part: str  # one of `PARTS`
    path: Path
    label: int  # position of its class, or `images.UNLABELLED`
    name: str  # of the file within its part, for records
    given: int = UNLABELLED  # position of the class that a trusted image was taken for

    @property
    def key(self) -> str:
        """Returns its name among the files of all parts."""
        return f"{self.part}/{self.name}"


class Files(NamedTuple):
    """Holds what a data set of files consists of.

    Attributes:
        classes: their names.
        listed: the files of all parts.
        contents: checksums by name of what else the data set was read from.
    """

    classes: list[str]
    listed: Sequence[Listed]
    contents: Mapping[str, str] = {}


def read(name: str, files: Files, size: int | None, *, skip: bool, in_memory: str) -> Source:
    """Reads the images of all parts.

    Args:
        name: of the data set, as it was asked for.
        files: where they are.
        size: see `sources.load`.
        skip: whether files that cannot be read are skipped.
        in_memory: "yes", "no": read a file whenever its image is needed; or "auto": as memory
            allows.

    Raises:
        UserError: images that do not fit into memory, or cannot be read and are not skipped;
            classes that `train` lacks.
    """
    classes, listed, contents = files
    _check_names(name, classes)
    reader = _Reader(listed)
    if not reader.headers:
        raise UserError(f"{name}: no image can be read; {reader.problems[0]}")
    shape = _shape(name, list(reader.headers.values()), size)
    held = _held(name, len(reader.headers), shape, in_memory)
    trained_on, kept = reader.read(TRAINED_ON, shape, held=held)
    # None where there is no file, or none that can be read.
    evaluated = {part: reader.read([part], shape, held=held)[0] or None for part in EVALUATED}
    trusted = np.flatnonzero([each.part == "trusted" for each in kept])
    there = {part: images.labels for part, images in evaluated.items() if images}
    there["trusted"] = trained_on.labels[trusted]
    _check_classes(name, classes, {each.part for each in listed}, there)
    if reader.problems:
        _tell(reader.problems, len(listed), skip=skip)
    named = [(each.part, each.name, each.label) for each in listed]
    copies.warn(name, named, reader.contents, EVALUATED)
    for c in sorted(set(range(len(classes))) - set(trained_on.labels.tolist())):
        raise UserError(f"{name}: the class {classes[c]!r} holds no image that can be read")
    return Source(
        name,
        classes,
        shape,
        flip=True,
        train=trained_on,
        **evaluated,
        contents={**contents, **reader.contents},
        trusted=trusted,
        given=_given(kept, reader.contents),
    )


def _given(listed: Sequence[Listed], contents: Mapping[str, str]) -> np.ndarray:
    """Returns what the trusted images were taken for, int64: also the labels of their copies."""
    copies = {contents[each.key]: each.label for each in listed if each.part == "train"}
    given = [
        copies.get(contents[each.key], UNLABELLED) if each.given == UNLABELLED else each.given
        for each in listed
        if each.part == "trusted"
    ]
    return np.array(given, np.int64)


class _Reader:
    """Reads files, and keeps what cannot be read and the checksums of all.

    Attributes:
        problems: a line for each file that cannot be read.
        headers: ((H, W), channels) by path, of those that can.
        contents: checksums by part and name.
    """

    def __init__(self, listed: Sequence[Listed]):
        self._listed = listed
        self.problems: list[str] = []
        self.contents: dict[str, str] = {}
        paths = [each.path for each in listed]
        found = self._read_all(image_files.header, paths)
        self.headers = {p: each for p, each in zip(paths, found, strict=True) if each}

    def read(self, parts: Sequence[str], shape: tuple, *, held: bool) -> tuple[InMemory, list]:
        """Returns the images of some parts, in memory or in their files; and their `Listed`."""
        listed = [each for part in parts for each in self._listed if each.part == part]
        readable = [each for each in listed if each.path in self.headers]
        self.contents |= {each.key: checksum(b"") for each in listed}
        images, kept = np.empty((len(readable) if held else 0, *shape), np.uint8), []

        def read_one(path: Path) -> tuple[str, np.ndarray | None]:
            content = image_files.load(path)
            read = image_files.decode if held else image_files.check
            return checksum(content), read(content, path, shape)

        results = self._read_all(read_one, [each.path for each in readable])
        for each, found in zip(readable, results, strict=True):
            if found is None:
                continue
            self.contents[each.key], pixels = found
            if held:
                images[len(kept)] = pixels
            kept.append(each)
        stored = StoredFiles(np.array([str(each.path) for each in kept], object), shape)
        labels = np.array([each.label for each in kept], np.int64)
        ids = [each.name if each.part == "train" else each.key for each in kept]
        return InMemory(images[: len(kept)] if held else stored, labels, ids), kept

    def _read_all(self, read: Callable, paths: Sequence[Path]) -> Iterator:
        """Yields what `read` returns of each path, in order; None and a problem where it cannot."""

        def attempt(path: Path):
            try:
                return read(path), None
            except image_files.UnreadableError as error:
                return None, str(error)

        shown = {"desc": "reading images", "unit": "image", "delay": _SILENT_SECONDS}
        with concurrent.futures.ThreadPoolExecutor() as pool, Bar(total=len(paths), **shown) as bar:
            # Few at a time, since images that wait to be put in their place take memory.
            for first in range(0, len(paths), _AT_ONCE):
                for found, problem in pool.map(attempt, paths[first : first + _AT_ONCE]):
                    bar.update()
                    if problem:
                        self.problems.append(problem)
                    yield found


def _check_names(name: str, classes: Sequence[str]) -> None:
    """Warns of classes whose names differ in case, spaces or Unicode's forms alone."""
    alike = collections.defaultdict(list)
    for each in classes:
        number = each.strip().isdecimal() and str(int(each))
        alike[number or unicodedata.normalize("NFKC", each).strip().casefold()].append(each)
    if twins := [" and ".join(map(ascii, each)) for each in alike.values() if len(each) > 1]:
        warnings.warn(
            f"{name}: classes whose names are nearly the same: {listing(twins)}; if they are one "
            "class, give them one name",
            stacklevel=2,
        )


def _check_classes(
    name: str,
    classes: Sequence[str],
    parts: Collection[str],
    labels: Mapping[str, np.ndarray],
) -> None:
    """Says in one line which classes a part of checked or of evaluated images has not.

    Of the `parts` that have files, `labels` are those of the images that could be read.
    """
    for part in ("trusted", *EVALUATED):
        there = labels.get(part, ())
        lacking = [label for c, label in enumerate(classes) if c not in there]
        if part in parts and lacking:
            told = (
                "so the meta set has none of them"
                if part == "trusted"
                else "so their error is not measured"
            )
            warnings.warn(
                f"{name}: {part} has no image of {listing(lacking)}, {told}", stacklevel=2
            )


def _shape(name: str, headers: Sequence[tuple[tuple[int, int], int]], size: int | None) -> tuple:
    """Returns (H, W, C) of the data set.

    Decided on the headers alone, since decoding large photos takes minutes.
    """
    sizes, channels = zip(*headers, strict=True)
    if size is None and len(set(sizes)) > 1:
        size = DEFAULT_SIZE
    height, width = (size, size) if size else sizes[0]
    if not size and max(height, width) > LARGEST_KEPT:
        warnings.warn(
            f"{name}: images of {width} x {height} pixels are resized to {LARGEST_KEPT} x "
            f"{LARGEST_KEPT}, since larger ones take hours on a CPU; set --image_size to change "
            "this",
            stacklevel=2,
        )
        height = width = LARGEST_KEPT
    return height, width, max(channels)


def _held(name: str, count: int, shape: tuple[int, int, int], in_memory: str) -> bool:
    """Returns whether the images are held in memory.

    Streams copy what they read, hence half of the machine's memory is taken by a fourth of it.
    """
    if in_memory == "auto":
        return count * math.prod(shape) <= min(MAX_BYTES, _memory() // 4)
    if in_memory == "yes":
        instead = "--in_memory=no reads them when they are needed, and "
        require_fits(f"{name}: --in_memory=yes", count, shape, instead)
    return in_memory == "yes"


def _memory() -> int:
    """Returns the bytes of memory of the machine, or of the container that this runs in."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        sizes.append(int(_CONTAINER.read_text()))
    return min(sizes)


def _tell(problems: Sequence[str], count: int, *, skip: bool) -> None:
    """Raises or warns of files that cannot be read."""
    more = ", ..." if len(problems) > _NAMED else ""
    message = f"{len(problems)} of {count} images: {', '.join(problems[:_NAMED])}{more}"
    if not skip:
        raise UserError(
            f"{message}; repair or remove them, or skip such images with --corrupt_images=skip"
        )
    warnings.warn(f"skipped {message}", stacklevel=2)
