"""`folder:DIR`: image files in DIR/train/CLASS and DIR/test/CLASS, and in folders below these."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import image_files
from tf_metamixup.data.contents import checksum
from tf_metamixup.data.images import DEFAULT_SIZE, MAX_BYTES, InMemory, Source, fits

SPLITS = ("train", "test")
_NAMED = 5  # of files that cannot be read
# Without --image_size. A batch of activations takes hundreds of times the memory of its images.
_LARGE = 2**20  # pixels


def load(name: str, root: Path, size: int | None, *, skip: bool) -> Source:
    """Reads a folder.

    Args:
        name: as it was asked for.
        root: DIR.
        size: see `sources.load`.
        skip: whether files that cannot be read are skipped.

    Raises:
        UserError: no such folders, classes without an image, names that are not UTF-8, images that
            do not fit into memory, or cannot be read and are not skipped.
    """
    classes, files = _find(root)
    problems: list[str] = []
    paths = [path for members in files.values() for path, _ in members]
    headers = {
        path: header for path in paths if (header := _try(problems, image_files.header, path))
    }
    if not headers:
        raise UserError(f"{name}: no image can be read; {problems[0]}")
    shape = _shape(name, list(headers.values()), size)
    contents: dict[str, str] = {}

    def part(split: str) -> InMemory:
        images, read = np.empty((len(files[split]), *shape), np.uint8), []
        for path, c in files[split]:
            content = _try(problems, image_files.load, path) if path in headers else None
            contents[path.relative_to(root).as_posix()] = checksum(content or b"")
            if content is None:
                continue
            pixels = _try(problems, image_files.decode, content, path, shape)
            if pixels is not None:
                images[len(read)] = pixels
                read.append((path.relative_to(root / split).as_posix(), c))
        labels = np.array([c for _, c in read], np.int64)
        return InMemory(images[: len(read)], labels, [path for path, _ in read])

    source = Source(name, classes, shape, True, part("train"), part("test"), contents)
    if problems:
        _tell(problems, len(paths), skip=skip)
        for split, images in (("train", source.train), ("test", source.test)):
            for c in sorted(set(range(len(classes))) - set(images.labels.tolist())):
                raise UserError(f"{root / split / classes[c]} holds no image that can be read")
    return source


def _find(root: Path) -> tuple[list[str], dict[str, list[tuple[Path, int]]]]:
    """Class names, and (file, class) by split; tells what is left out."""
    left_out: list[tuple[str, Path]] = []
    files = {split: _class_files(root, split, left_out) for split in SPLITS}
    classes = sorted(files["train"])
    if differing := sorted(set(classes) ^ set(files["test"])):
        raise UserError(
            f"{root}/train and {root}/test must hold the same classes; only one of them has "
            f"{', '.join(map(_printable, differing))}"
        )
    _require_names(
        classes, (path for split in files.values() for m in split.values() for path in m)
    )
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in SPLITS and not image_files.is_hidden(path.name):
            left_out.append(("beside train and test", path))
    if left_out:
        warnings.warn(image_files.describe_left_out(left_out), stacklevel=2)
    return classes, {
        split: [(path, c) for c, label in enumerate(classes) for path in files[split][label]]
        for split in SPLITS
    }


def _class_files(root: Path, split: str, left_out: list[tuple[str, Path]]) -> dict[str, list[Path]]:
    """Class -> its image files, sorted; what is none joins `left_out`."""
    folder = root / split
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; folder:DIR needs DIR/train/CLASS/*.png and "
            f"DIR/test/CLASS/*.png (or {', '.join(image_files.SUFFIXES[1:])}){_hint(root)}"
        )
    files = {}
    for path in sorted(folder.iterdir()):
        if image_files.is_hidden(path.name):
            left_out.append(("hidden", path))
        elif not path.is_dir():
            left_out.append(("outside the class folders", path))
        else:
            files[path.name], others = image_files.find(path)
            left_out += others
            if not files[path.name]:
                raise UserError(
                    f"{folder / _printable(path.name)} holds no "
                    f"{', '.join(image_files.SUFFIXES)} image"
                    + (f"; {image_files.describe_left_out(others)}" if others else "")
                )
    if not files:
        raise UserError(f"{folder} holds no class folders")
    return files


def _hint(root: Path) -> str:
    """Where train and test lie, if one level off."""
    near = [root.parent, *(sorted(root.iterdir()) if root.is_dir() else [])]
    for folder in near:
        if all((folder / split).is_dir() for split in SPLITS):
            return f". Did you mean folder:{folder}?"
    return ""


def _require_names(classes: Sequence[str], paths: Iterable[Path]) -> None:
    """Refuses names that neither labels.txt nor TensorFlow can hold."""
    if bad := [str(path) for path in paths if _printable(str(path)) != str(path)]:
        raise UserError(
            f"{len(bad)} file or folder names are not UTF-8, such as {_printable(bad[0])}; rename "
            "them"
        )
    for name in classes:
        if "\n" in name or "\r" in name:
            raise UserError(f"the class name {name!r} has a line break; rename the folder")


def _printable(name: str) -> str:
    """`name`, with bytes that are no UTF-8 escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")


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


def _try(problems: list[str], read: Callable, *arguments):
    """What `read` returns, or None and one more of the `problems`."""
    try:
        return read(*arguments)
    except image_files.UnreadableError as error:
        problems.append(str(error))
        return None


def _tell(problems: Sequence[str], count: int, *, skip: bool) -> None:
    """Raises or warns of files that cannot be read."""
    more = ", ..." if len(problems) > _NAMED else ""
    message = f"{len(problems)} of {count} images: {', '.join(problems[:_NAMED])}{more}"
    if not skip:
        raise UserError(
            f"{message}; mend or remove them, or skip such images with --corrupt_images=skip"
        )
    warnings.warn(f"skipped {message}", stacklevel=2)
