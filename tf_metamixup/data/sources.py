"""Data sets by name: the digits in the package, any TFDS image classification set, or a folder."""

import os
from pathlib import Path

from tf_metamixup.core import extras
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.registry import Registry
from tf_metamixup.data import digits, folder_source
from tf_metamixup.data.images import Source

# Data sets that a function of their own loads: (image size or None) -> Source.
DATASETS = Registry("data set")
register = DATASETS.register
register("digits")(digits.load)


def load(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    corrupt_images: str = "stop",
) -> Source:
    """Loads the data set `name`: registered, `folder:DIR`, or of TFDS, downloaded where needed.

    Args:
        name: of the data set.
        data_dir: where TFDS data lies or goes; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
        image_size: images are resized to image_size x image_size. By default they keep their size,
            or get 64 x 64 where they differ in size, or 100 x 100 for imagenet2012.
        corrupt_images: of a folder: "stop" at files that cannot be read, or "skip" them; both
            name and count them.

    Raises:
        UserError: for an unknown name, data that is missing and cannot be fetched, damaged data, or
            data of one class only.
    """
    source = _load(name, data_dir, image_size, corrupt_images)
    if len(source.classes) < 2:
        raise UserError(
            f"the data set {name!r} has one class only ({', '.join(source.classes)}); a classifier "
            "needs two or more"
        )
    return source


def _load(name: str, data_dir: str | None, image_size: int | None, corrupt_images: str) -> Source:
    if name in DATASETS.names():
        return DATASETS.make(name, image_size)
    if name.startswith("folder:"):
        root = Path(name.removeprefix("folder:")).expanduser()
        return folder_source.load(name, root, image_size, skip=corrupt_images == "skip")
    with extras.needed("data"):
        from tf_metamixup.data import tfds_source  # here, since TFDS takes seconds to import

    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return tfds_source.load(name, root.expanduser(), image_size, DATASETS.names())
