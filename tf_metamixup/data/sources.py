"""Data sets by name: scikit-learn's digits, any TFDS image classification set, or a folder."""

import dataclasses
import difflib
import os
import re
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_metamixup.core.errors import UnknownNameError, UserError
from tf_metamixup.core.registry import Registry
from tf_metamixup.data import augment, image_files, splits

# Of TFDS: the paper's.
KNOWN = ["mnist", "fashion_mnist", "svhn_cropped", "cifar10", "cifar100", "imagenet2012"]

# Where a mirrored image may be of another class, or of none.
_NOT_MIRRORED = {"digits", "mnist", "svhn_cropped", "emnist", "kmnist", "mnist_corrupted"}

_MEMORY = 8 * 2**30  # bytes of decoded images; larger sets are read from their files
_DEFAULT_SIZE = 64  # of images that are not all of one size
_IMAGENET_SIZE = 100  # the paper's, section IV.A
_NAMED = 5  # of files that cannot be read
_PATIENCE = 10.0  # seconds that a data set's host may take to answer


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory:
    """Images that are held in memory.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int64 [N].
        ids: the data set's own names of the examples, where it has them.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: list[str] | None = None

    def __len__(self):
        return len(self.labels)

    def keep(self, indices: np.ndarray) -> "InMemory":
        """The images at `indices`, int [n], in that order, without `ids`."""
        return InMemory(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True, eq=False)
class Streamed:
    """Images that stay in their TFDS files.

    Attributes:
        builder: the prepared TFDS builder (anything with its `as_dataset`).
        split: its split.
        labels: int64 [N].
        image_shape: (H, W, C) that images are decoded to.
        crop: whether they are ImageNet's JPEGs, which are cropped; others are only resized.
        ids: none: a million names are worth less than positions.
    """

    builder: tfds.core.DatasetBuilder
    split: str
    labels: np.ndarray
    image_shape: tuple[int, int, int]
    crop: bool = False
    ids: None = None

    def __len__(self):
        return len(self.labels)

    def encoded(self) -> tf.data.Dataset:
        """(encoded image, label) of all examples, in the order of `labels`."""
        examples = _examples(self.builder, self.split)
        return examples.map(lambda example: (example["image"], example["label"]))

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """One image without augmentation, uint8 [H, W, C]."""
        if self.crop:
            return augment.center_crop(encoded, self.image_shape[0])
        return _decode(encoded, self.builder.info.features["image"].shape, self.image_shape)

    def keep(self, indices: np.ndarray) -> "Kept":
        """The images at `indices`, int [n], in that order, in memory; reads the files once."""
        with tf.device("CPU:0"):
            wanted = tf.scatter_nd(indices[:, None], tf.ones(len(indices), tf.bool), [len(self)])
        found = self.encoded().enumerate().filter(lambda i, _: wanted[i]).as_numpy_iterator()
        stored = {int(i): encoded for i, (encoded, _) in found}
        kept = np.array([stored[i] for i in indices.tolist()], object)
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(Streamed)}
        return Kept(**fields | {"labels": self.labels[indices]}, kept=kept)


@dataclasses.dataclass(frozen=True, eq=False)
class Kept(Streamed):
    """Some of the images of TFDS files, still encoded, in memory.

    Attributes:
        kept: bytes [N].
    """

    kept: np.ndarray = None

    def encoded(self) -> tf.data.Dataset:
        """See `Streamed`."""
        with tf.device("CPU:0"):
            kept, labels = tf.constant(self.kept), tf.constant(self.labels)
        return tf.data.Dataset.range(len(self)).map(lambda i: (kept[i], labels[i]))


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set.

    Attributes:
        name: as it was asked for.
        classes: their names; a label is a position here.
        image_shape: (H, W, C).
        flip: whether a mirrored image keeps its class (WORKSPACE.md's reading, point 6).
        train: the training images.
        test: the test images.
    """

    name: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    flip: bool
    train: InMemory | Streamed
    test: InMemory | Streamed


# Data sets that a function of their own loads: (image size or None) -> Source.
DATASETS = Registry("data set")
register = DATASETS.register


def load(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    corrupt_images: str = "stop",
) -> Source:
    """The data set `name`: registered, `folder:DIR` or what TFDS knows, downloaded where needed.

    Args:
        name: of the data set.
        data_dir: where TFDS data lies or goes; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
        image_size: images are resized to image_size x image_size. By default they keep their size,
            or get 64 x 64 where they differ in size, or 100 x 100 for imagenet2012.
        corrupt_images: of a folder: "stop" at files that cannot be read, or "skip" them; both
            name and count them.

    Raises:
        UserError: for an unknown name, data that is missing and cannot be fetched, or damaged data.
    """
    if name in DATASETS.names():
        return DATASETS.make(name, image_size)
    if name.startswith("folder:"):
        root = Path(name.removeprefix("folder:")).expanduser()
        return _folder(name, root, image_size, skip=corrupt_images == "skip")
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return _tfds(name, Path(root).expanduser(), image_size)


@register("digits")
def _digits(size: int | None) -> Source:
    from sklearn.datasets import load_digits  # here, since it takes a second to import

    digits = load_digits()
    images = np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    if size not in (None, images.shape[1]):
        images = image_files.resize(images, (size, size)).numpy()
    labels = digits.target.astype(np.int64)
    # The same for every run: the constant is no run's seed. 36 of each class are a fifth.
    parts = splits.make(labels, 10, seed=0, num_meta=360)

    def part(indices: np.ndarray) -> InMemory:
        return InMemory(images[indices], labels[indices])

    return Source(
        "digits",
        [str(name) for name in digits.target_names],
        images.shape[1:],
        flip=False,
        train=part(parts.labelled),
        test=part(parts.meta),
    )


def _folder(name: str, root: Path, size: int | None, *, skip: bool) -> Source:
    files = {split: _image_files(root, split) for split in ("train", "test")}
    classes = sorted(files["train"])
    if differing := sorted(set(classes) ^ set(files["test"])):
        raise UserError(
            f"{root}/train and {root}/test must hold the same classes; only one of them has "
            f"{', '.join(differing)}"
        )

    paths = [path for split in files.values() for members in split.values() for path in members]
    problems: list[str] = []
    headers = {
        path: header for path in paths if (header := _tried(problems, image_files.header, path))
    }
    if not headers:
        raise UserError(f"{name}: no image can be read; {problems[0]}")
    sizes, modes = zip(*headers.values(), strict=True)
    channels = 1 if set(modes) <= {"1", "L", "LA"} else 3
    if size is None and len(set(sizes)) > 1:
        size = _DEFAULT_SIZE
    shape = (*((size, size) if size else sizes[0]), channels)
    if not _fits(len(paths), shape):
        raise UserError(f"{name}: {len(paths)} images of {shape} do not fit into 8 GiB of memory")

    def part(split: str) -> InMemory:
        members = [(path, c) for c, label in enumerate(classes) for path in files[split][label]]
        images = np.empty((len(members), *shape), np.uint8)
        read = []
        for path, c in members:
            pixels = _tried(problems, image_files.read, path, shape) if path in headers else None
            if pixels is not None:
                images[len(read)] = pixels
                read.append((path.relative_to(root / split).as_posix(), c))
        labels = np.array([c for _, c in read], np.int64)
        return InMemory(images[: len(read)], labels, [path for path, _ in read])

    source = Source(name, classes, shape, True, part("train"), part("test"))
    if problems:
        more = ", ..." if len(problems) > _NAMED else ""
        told = f"{len(problems)} of {len(paths)} images: {', '.join(problems[:_NAMED])}{more}"
        if not skip:
            raise UserError(
                f"{told}; mend or remove them, or skip such images with --corrupt_images=skip"
            )
        warnings.warn(f"skipped {told}", stacklevel=2)
        for split, images in (("train", source.train), ("test", source.test)):
            for c in sorted(set(range(len(classes))) - set(images.labels.tolist())):
                raise UserError(f"{root / split / classes[c]} holds no image that can be read")
    return source


def _tried(problems: list[str], read, *arguments):
    """What `read` gives, or None and one more of the `problems`."""
    try:
        return read(*arguments)
    except image_files.UnreadableError as error:
        problems.append(str(error))
        return None


def _image_files(root: Path, split: str) -> dict[str, list[Path]]:
    """Class -> its image files, sorted."""
    folder = root / split
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; folder:DIR needs DIR/train/CLASS/*.png and "
            "DIR/test/CLASS/*.png (or .jpg, .jpeg)"
        )
    files = {
        directory.name: sorted(
            path for path in directory.iterdir() if path.suffix.lower() in image_files.SUFFIXES
        )
        for directory in folder.iterdir()
        if directory.is_dir() and not directory.name.startswith(".")
    }
    if not files:
        raise UserError(f"{folder} holds no class folders")
    for label, members in files.items():
        if not members:
            raise UserError(f"{folder / label} holds no .png, .jpg or .jpeg image")
    return files


def _tfds(name: str, root: Path, size: int | None) -> Source:
    base = re.split("[/:]", name)[0]
    if base not in KNOWN and not (base and (root / base).is_dir()):
        _require_known(name, base)
    try:
        builder = tfds.builder(name, data_dir=root)
        features = builder.info.features
    except Exception as error:  # TFDS and each of its data sets raise what they like
        raise UserError(
            f"TFDS cannot open the data set {name!r} in {root}: {_first_line(error)}"
        ) from error
    if not builder.data_path.exists():
        _require_images(name, features)
        _prepare(name, base, builder, root)
        features = builder.info.features
    if not builder.is_prepared():
        raise UserError(
            f"the data set {name!r} in {builder.data_path} is damaged: dataset_info.json or "
            "features.json is missing; remove the folder or prepare it again"
        )
    _require_images(name, features)

    shape = features["image"].shape
    imagenet = base == "imagenet2012"
    if size is None and None in shape[:2]:
        size = _IMAGENET_SIZE if imagenet else _DEFAULT_SIZE
    shape = (*((size, size) if size else shape[:2]), shape[2] or 3)
    available = list(builder.info.splits)
    test = "validation" if imagenet or "test" not in available else "test"
    for split in ("train", test):
        if split not in available:
            raise UserError(
                f"the data set {name!r} needs a split 'train' and one of 'test' or 'validation'; "
                f"it has {', '.join(available) or 'none'}"
            )

    def part(split: str) -> InMemory | Streamed:
        try:
            if imagenet or not _fits(builder.info.splits[split].num_examples, shape):
                return Streamed(builder, split, _labels(builder, split), shape, crop=imagenet)
            return _in_memory(builder, split, shape)
        except (tf.errors.OpError, OSError, ValueError, AssertionError) as error:
            raise UserError(
                f"the data set {name!r} in {builder.data_path} is damaged: {_first_line(error)}; "
                "remove the folder or prepare it again"
            ) from error

    source = Source(
        name,
        list(features["label"].names),
        shape,
        base not in _NOT_MIRRORED,
        part("train"),
        part(test),
    )
    if source.test.labels.min() < 0:
        raise UserError(f"the labels of the split {test!r} of {name!r} are not public")
    return source


def _require_known(name: str, base: str) -> None:
    listed = tfds.list_builders(with_community_datasets=False)
    if base in listed:
        return
    near = [
        match
        for names in ([*DATASETS.names(), *KNOWN], listed)
        for match in difflib.get_close_matches(base, names, 1)
    ]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join([*DATASETS.names(), *KNOWN])
    raise UnknownNameError(
        f"unknown data set {name!r}.{hint} Known: {known}, folder:DIR, or any other TFDS "
        "image-classification name"
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
            f"and class labels as 'label', and has {', '.join(kinds) or 'neither'}"
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
                f"the data set {name!r} is not in {root}, and its raw files are only given by hand "
                f"(TFDS: {' '.join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}). {where}"
            )
    elif missing or not raw:
        url = raw[missing[0]] if missing else "https://storage.googleapis.com"
        if problem := _unreachable(url):
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


def _unreachable(url: str) -> str | None:
    """Why `url` cannot be fetched, if so, within `_PATIENCE` seconds."""
    problem = f"no answer from {url} in {_PATIENCE:.0f} s"

    def ask():
        nonlocal problem
        try:
            # Not HEAD, which some servers refuse; the body is never read.
            with requests.get(url, stream=True, timeout=_PATIENCE / 2) as answer:
                problem = None if answer.ok else f"{url} answers {answer.status_code}"
        except requests.RequestException as error:
            problem = f"{url} cannot be reached ({type(error).__name__})"

    # In a thread, since looking up a name obeys no time limit of ours.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return problem


def _examples(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """All examples in the order they are stored, images still encoded."""
    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False),
    )


def _decode(encoded: tf.Tensor, stored: Iterable[int | None], shape: tuple) -> tf.Tensor:
    """uint8 [H, W, C] of one encoded image, resized where `stored` is another shape."""
    image = tf.io.decode_image(encoded, channels=shape[2], expand_animations=False)
    if tuple(stored)[:2] != shape[:2]:
        image = image_files.resize(image, shape[:2])
    return tf.ensure_shape(image, shape)


def _in_memory(builder: tfds.core.DatasetBuilder, split: str, shape: tuple) -> InMemory:
    count = builder.info.splits[split].num_examples
    stored = builder.info.features["image"].shape
    images = np.empty((count, *shape), np.uint8)
    labels = np.empty(count, np.int64)
    ids = []

    def read(example):
        return _decode(example["image"], stored, shape), example["label"], example.get("id", "")

    done = 0
    batches = _examples(builder, split).map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(256)
    for x, y, names in batches.prefetch(2).as_numpy_iterator():
        images[done : done + len(y)] = x
        labels[done : done + len(y)] = y
        ids.extend(name.decode() for name in names)
        done += len(y)
    if done != count:
        raise ValueError(f"{split} holds {done} examples instead of {count}")
    return InMemory(images, labels, ids if any(ids) else None)


def _labels(builder: tfds.core.DatasetBuilder, split: str) -> np.ndarray:
    """int64 [N], from one pass over the files."""
    labels = _examples(builder, split).map(lambda example: example["label"]).batch(4096)
    return np.concatenate(list(labels.as_numpy_iterator()))


def _fits(count: int, shape: tuple[int, int, int]) -> bool:
    return count * int(np.prod(shape, dtype=np.int64)) <= _MEMORY


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"
