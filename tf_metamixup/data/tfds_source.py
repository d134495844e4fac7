"""Image classification sets that TFDS knows by name, downloaded and prepared where needed."""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_metamixup.config.defaults import dataset_name
from tf_metamixup.core.errors import UnknownNameError, UserError
from tf_metamixup.core.suggestions import did_you_mean
from tf_metamixup.data.images import DEFAULT_SIZE, InMemory, Source, fits
from tf_metamixup.data.reachability import unreachable
from tf_metamixup.data.streamed import Streamed, decode, examples_of

# Of TFDS: the paper's.
KNOWN = ["mnist", "fashion_mnist", "svhn_cropped", "cifar10", "cifar100", "imagenet2012"]

# Where a mirrored image may be of another class, or of none.
_NOT_MIRRORED = {"mnist", "svhn_cropped", "emnist", "kmnist", "mnist_corrupted"}

_IMAGENET_SIZE = 100  # the paper's, section IV.A
# Images read at once. Python handles no signal meanwhile, and large ones take a tenth of a second.
_READ = 64


def load(name: str, root: Path, size: int | None, registered: Sequence[str] = ()) -> Source:
    """Loads a data set from its prepared files, which are made first where they are missing.

    Args:
        name: of TFDS, with a config or a version where they matter: `name/config:1.0.0`.
        root: the data directory.
        size: see `sources.load`.
        registered: further names, for the message about one that is unknown.

    Raises:
        UserError: for an unknown name, data that is missing and cannot be fetched, or damaged data.
    """
    builder = _builder(name, root, registered)
    imagenet = dataset_name(name) == "imagenet2012"
    features = builder.info.features
    shape = features["image"].shape
    if size is None and None in shape[:2]:
        size = _IMAGENET_SIZE if imagenet else DEFAULT_SIZE
    shape = (*((size, size) if size else shape[:2]), shape[2] or 3)
    test = _test_split(name, builder)

    def part(split: str) -> InMemory | Streamed:
        try:
            if imagenet or not fits(builder.info.splits[split].num_examples, shape):
                return Streamed(builder, split, _labels(builder, split), shape, crop=imagenet)
            return _in_memory(builder, split, shape)
        except (tf.errors.OpError, OSError, ValueError, AssertionError) as error:
            raise UserError(
                f"the data set {name!r} in {builder.data_path} is damaged: {_first_line(error)}; "
                "remove the folder or prepare it again"
            ) from error

    source = Source(
        builder.info.full_name,
        list(features["label"].names),
        shape,
        flip=dataset_name(name) not in _NOT_MIRRORED,
        train=part("train"),
        test=part(test),
    )
    if source.test.labels.min() < 0:
        raise UserError(f"the labels of the split {test!r} of {name!r} are not public")
    return source


def _builder(name: str, root: Path, registered: Sequence[str]) -> tfds.core.DatasetBuilder:
    """Opens the data set, prepared."""
    base = dataset_name(name)
    is_name = re.fullmatch(r"\w{1,100}", base)  # longer ones are no folder's either
    if not (is_name and (root / base).is_dir()):
        if is_name:
            _require_data_dir(name, base, root)
        if base not in KNOWN:
            _require_known(name, base, registered)
    try:
        builder = tfds.builder(name, data_dir=root)
        features = builder.info.features
    except Exception as error:  # TFDS and each of its data sets raise what they like
        raise UserError(
            f"TFDS cannot open the data set {name!r} in {root}: {_first_line(error)}"
            f"{_folder_hint(name)}"
        ) from error
    if not builder.data_path.exists():
        _require_images(name, features)
        _prepare(name, base, builder, root)
    if not builder.is_prepared():
        raise UserError(
            f"the data set {name!r} in {builder.data_path} is damaged: dataset_info.json or "
            "features.json is missing; remove the folder or prepare it again"
        )
    _require_images(name, builder.info.features)
    return builder


def _test_split(name: str, builder: tfds.core.DatasetBuilder) -> str:
    available = list(builder.info.splits)
    imagenet = dataset_name(name) == "imagenet2012"
    test = "validation" if imagenet or "test" not in available else "test"
    for split in ("train", test):
        if split not in available:
            raise UserError(
                f"the data set {name!r} needs a split 'train' and one of 'test' or 'validation'; "
                f"it has {', '.join(available) or 'none'}"
            )
    return test


def _require_data_dir(name: str, base: str, root: Path) -> None:
    """Refuses a data directory one level off, where TFDS would download everything again."""
    root = root.resolve()
    near = [parent.parent for parent in (root, root.parent) if parent.name == base]
    if root.is_dir():
        near += sorted(child for child in root.iterdir() if child.is_dir())
    for folder in near:
        if any((folder / base).glob("**/dataset_info.json")):
            raise UserError(
                f"the data set {name!r} is not in the data directory {root}, but in {folder}: "
                f"give --data_dir={folder} (or TFDS_DATA_DIR)"
            )


def _folder_hint(name: str) -> str:
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # too long; no such user; a null
        if Path(name).expanduser().is_dir():
            return f", which is a folder: images in it are read with --dataset=folder:{name}"
    return ""


def _require_known(name: str, base: str, registered: Sequence[str]) -> None:
    listed = tfds.list_builders(with_community_datasets=False)
    if base in listed:
        return
    usual = [*registered, *KNOWN]
    meant = did_you_mean(base, usual) or did_you_mean(base, listed)
    hint = _folder_hint(name) or meant
    raise UnknownNameError(
        f"unknown data set {name!r}{hint}; known: {', '.join(usual)}, folder:DIR, table:FILE, or "
        "any other TFDS image-classification name"
    )


def _require_images(name: str, features: tfds.features.FeaturesDict | None) -> None:
    kinds = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = kinds.get("image"), kinds.get("label")
    if not (
        isinstance(image, tfds.features.Image)
        and image.np_dtype == np.uint8
        and isinstance(label, tfds.features.ClassLabel)
    ):
        raise UserError(
            f"{name!r} is not an image classification data set: it needs 8-bit images as 'image' "
            f"and class labels as 'label', but has {', '.join(kinds) or 'neither'}"
        )


def _prepare(name: str, base: str, builder: tfds.core.DatasetBuilder, root: Path) -> None:
    """Downloads and prepares the data, or says at once what is missing and where it belongs.

    TFDS itself tries for minutes before it gives up on a network that is not there.
    """
    manual = root / "downloads" / "manual"
    infos = (builder.url_infos or {}).items()
    raw = {info.filename or url.rsplit("/", 1)[1]: url for url, info in infos}
    missing = [filename for filename in raw if not (manual / filename).exists()]
    where = (
        f"Put the prepared files into {builder.data_path} (dataset_info.json, features.json, "
        f"{builder.name}-*.tfrecord-*) or the raw files ({', '.join(raw) or 'see TFDS'}) into "
        f"{manual}. --data_dir or TFDS_DATA_DIR names another place than {root}"
    )
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        if missing if base == "imagenet2012" else not (manual.is_dir() and any(manual.iterdir())):
            raise UserError(
                f"the data set {name!r} is not in {root}, and its raw files must be downloaded "
                f"manually (TFDS: {' '.join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}). "
                f"{where}"
            )
    elif missing or not raw:
        url = raw[missing[0]] if missing else "https://storage.googleapis.com"
        if problem := unreachable(url):
            raise UserError(
                f"the data set {name!r} is not in {root} and cannot be downloaded: {problem}. "
                f"{where}"
            )
    try:
        builder.download_and_prepare(download_dir=root / "downloads")
    except Exception as error:  # as above
        raise UserError(
            f"TFDS cannot prepare the data set {name!r}: {_first_line(error)}. {where}"
        ) from error


def _in_memory(builder: tfds.core.DatasetBuilder, split: str, shape: tuple) -> InMemory:
    count = builder.info.splits[split].num_examples
    stored = builder.info.features["image"].shape
    images = np.empty((count, *shape), np.uint8)
    labels = np.empty(count, np.int64)
    ids = []

    def read(example):
        return decode(example["image"], stored, shape), example["label"], example.get("id", "")

    done = 0
    batches = (
        examples_of(builder, split).map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(_READ)
    )
    for x, y, names in batches.prefetch(2).as_numpy_iterator():
        images[done : done + len(y)] = x
        labels[done : done + len(y)] = y
        ids.extend(name.decode() for name in names)
        done += len(y)
    if done != count:
        raise ValueError(f"{split} holds {done} examples instead of {count}")
    return InMemory(images, labels, ids if any(ids) else None)


def _labels(builder: tfds.core.DatasetBuilder, split: str) -> np.ndarray:
    """Reads all labels, int64 [N], in one pass over the files."""
    labels = examples_of(builder, split).map(lambda example: example["label"]).batch(8 * _READ)
    return np.concatenate(list(labels.as_numpy_iterator()))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"
