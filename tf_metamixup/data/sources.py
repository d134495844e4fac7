"""Data sets by name: the digits in the package, any of TFDS, a folder, a table of files."""

import os
from collections.abc import Callable
from pathlib import Path

from tf_metamixup.config import Config
from tf_metamixup.core import extras
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.registry import Registry
from tf_metamixup.data import digits, file_source, folder_source, table_source
from tf_metamixup.data.images import Source

Loader = Callable[[int | None], Source]  # of an image size

# Data sets that a function of their own loads.
DATASETS = Registry("data set")
DATASETS.register("digits")(digits.load)
_OF_FILES = {"folder": folder_source.files, "table": table_source.files}


def register(name: str) -> Callable[[Loader], Loader]:
    """Registers the decorated function as the data set `name`, for `load` and `--dataset`.

    The function takes `image_size`, which is None by default, and returns a `Source`.

    >>> import numpy as np
    >>> from tf_metamixup.data import InMemory
    >>> @register("blank")
    ... def blank(size):
    ...     train = InMemory(np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 0, 1, 1]))
    ...     return Source("blank", ["a", "b"], (8, 8, 1), False, train, test=None)
    >>> load("blank")
    <Source 'blank': 2 classes, images of 8 x 8 x 1: 4 train>

    Args:
        name: one that no data set has yet.
    """
    return DATASETS.register(name)


def load(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    corrupt_images: str = "stop",
    in_memory: str = "auto",
) -> Source:
    """Loads a data set by name: a registered one, `folder:DIR`, `table:FILE`, or one of TFDS.

    >>> load("digits").train.images.shape
    (1437, 8, 8, 1)

    Args:
        name: name of the data set.
        data_dir: where TFDS data is stored or downloaded to; by default TFDS_DATA_DIR or
            ~/tensorflow_datasets.
        image_size: images are resized to image_size x image_size. By default they keep their size,
            or get 64 x 64 where they differ in size, or 100 x 100 for imagenet2012; files of more
            than 128 pixels a side get 128 x 128.
        corrupt_images: of a folder or a table: "stop" at files that cannot be read, or "skip"
            them; both name and count them.
        in_memory: of a folder or a table: "yes"; "no": a file is read whenever its image is needed;
            or "auto", as memory allows. The images are the same.

    Raises:
        UserError: for an unknown name, a value that is not allowed, data that is missing and cannot
            be fetched, damaged data, or data of one class only.
    """
    # What the flags of these names refuse is refused.
    reading = {"corrupt_images": corrupt_images, "in_memory": in_memory}
    Config(dataset=name, image_size=image_size, **reading).resolve()
    kind, colon, path = name.partition(":")
    if colon and kind in _OF_FILES:
        files, skip = _OF_FILES[kind](Path(path).expanduser()), corrupt_images == "skip"
        source = file_source.read(name, files, image_size, skip=skip, in_memory=in_memory)
    else:
        source = _load(name, data_dir, image_size)
    if not isinstance(source, Source):
        raise UserError(f"the function of data set {name!r} returned {source!r}, not a Source")
    if len(source.classes) < 2:
        raise UserError(
            f"the data set {name!r} has only one class ({', '.join(source.classes)}); a classifier "
            "needs two or more"
        )
    return source


def folder(path: str | os.PathLike, **options) -> Source:
    """Loads the images of a folder.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for shade, name in enumerate(("cat", "dog")):
    ...         Path(root, "train", name).mkdir(parents=True)
    ...         Image.new("L", (8, 8), shade).save(Path(root, "train", name, "1.png"))
    ...     folder(root).classes
    ['cat', 'dog']

    Args:
        path: holds `train/CLASS/**` and, where there are such images, `unlabelled/**`,
            `trusted/CLASS/**` (the meta set), `val/CLASS/**` and `test/CLASS/**`.
        **options: `image_size`, `corrupt_images` and `in_memory` of `load`.
    """
    return load(f"folder:{os.fspath(path)}", **options)


def table(path: str | os.PathLike, **options) -> Source:
    r"""Loads the images that are listed in a table.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for shade, name in enumerate(("cat", "dog")):
    ...         Image.new("L", (8, 8), shade).save(Path(root, f"{name}.png"))
    ...     listed = Path(root, "pets.csv").write_text("file,label\ncat.png,cat\ndog.png,dog\n")
    ...     table(Path(root, "pets.csv")).train.labels.tolist()
    [0, 1]

    Args:
        path: a .csv or .parquet file with columns `file` and `label`, empty where there is none,
            and where needed `split` (train, val, test, unlabelled) and `trusted_label`.
        **options: as of `folder`.
    """
    return load(f"table:{os.fspath(path)}", **options)


def _load(name: str, data_dir: str | None, image_size: int | None) -> Source:
    if name in DATASETS.names():
        return DATASETS.make(name, image_size)
    with extras.needed("data"):
        from tf_metamixup.data import tfds_source  # here, since TFDS takes seconds to import

    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return tfds_source.load(name, root.expanduser(), image_size, DATASETS.names())
