"""What a data set is to a run: images, labels and names, in memory or in files."""

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_metamixup.config import DataInfo
from tf_metamixup.config.defaults import is_own
from tf_metamixup.core.errors import UserError, require
from tf_metamixup.data.contents import checksum
from tf_metamixup.data.stored_files import StoredFiles
from tf_metamixup.data.streamed import Streamed

MAX_BYTES = 8 * 2**30  # of decoded images in memory
DEFAULT_SIZE = 64  # of images that are not all of one size
UNLABELLED = -1  # in place of a label


def fits(count: int, shape: tuple[int, int, int]) -> bool:
    """Returns whether `count` decoded images of `shape`, (H, W, C), may be held in memory."""
    return count * math.prod(shape) <= MAX_BYTES


def require_fits(what: str, count: int, shape: tuple[int, int, int], instead: str = "") -> None:
    """Raises UserError, "`what`: ...", unless `count` decoded images of `shape` may be held."""
    if not fits(count, shape):
        raise UserError(
            f"{what}: {count:,} images of {shape[1]} x {shape[0]} pixels take "
            f"{count * math.prod(shape) / 2**30:.3g} GiB, but at most {MAX_BYTES / 2**30:.3g} GiB "
            f"are kept in memory; {instead}a smaller --image_size needs less memory"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory:
    """Holds images in memory, or reads them one by one as if it did.

    Attributes:
        images: uint8 [N, H, W, C], or the files that they stay in.
        labels: int64 [N].
        ids: the data set's own names of the examples, where it has them.

    Raises:
        UserError: they have another type or shape.
    """

    images: np.ndarray | StoredFiles
    labels: np.ndarray
    ids: list[str] | None = None

    def __post_init__(self):
        if isinstance(self.images, np.ndarray):
            found = f"images of {self.images.dtype} with shape {self.images.shape}"
            right = self.images.dtype == np.uint8 and self.images.ndim == 4
            require(right, found, "be uint8 [N, H, W, C], values from 0 to 255")
        labels, count = self.labels, len(self.images)
        whole = isinstance(labels, np.ndarray) and labels.dtype.kind in "iu"
        about = f"{getattr(labels, 'dtype', type(labels).__name__)} {np.shape(labels)}"
        found = f"the labels of {count:,} images, {about},"
        require(whole and labels.shape == (count,), found, "be an array of integers, [N]")
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))

    def __len__(self):
        return len(self.labels)

    def keep(self, indices: np.ndarray) -> "InMemory":
        """Returns the images at `indices`, int [n], in that order, without `ids`."""
        return InMemory(self.images[indices], self.labels[indices])


class Audited(NamedTuple):
    """Holds images whose labels were checked, and which are not trained on.

    Attributes:
        images: as the training images are stored, [M, H, W, C].
        labels: checked, int [M].
        given: the noisy labels, int [M]; None where they never had one, which then is estimated
            by how labels go wrong.
    """

    images: np.ndarray
    labels: np.ndarray
    given: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Holds a data set.

    Attributes:
        name: as it was asked for.
        classes: their names; a label is a position here.
        image_shape: (H, W, C).
        flip: whether a mirrored image keeps its class (docs/reproduction.md, point 6).
        train: the images that training may look at; UNLABELLED is the label of those without.
        test: the test images; None where there are none.
        contents: checksums by name of what it was read from (`contents.changes`); by default the
            labels of all parts.
        val: the validation images; None where there are none.
        trusted: positions in `train`, int64 [n], of images whose labels someone has checked. Where
            there are any they are the meta set.
        given: labels that these were given before, int64 [n], UNLABELLED for those without; empty
            where nothing is known of it.
    """

    name: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    flip: bool
    train: InMemory | Streamed
    test: InMemory | Streamed | None
    contents: dict[str, str] = dataclasses.field(default_factory=dict)
    val: InMemory | Streamed | None = None
    trusted: np.ndarray = dataclasses.field(default_factory=lambda: np.array([], np.int64))
    given: np.ndarray = dataclasses.field(default_factory=lambda: np.array([], np.int64))

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image_shape))
        parts = {"train": self.train, "val": self.val, "test": self.test}
        counts = ", ".join(f"{len(part.labels):,} {n}" for n, part in parts.items() if part)
        return f"<Source {self.name!r}: {len(self.classes)} classes, images of {size}: {counts}>"

    @property
    def own(self) -> bool:
        """Returns whether these are a user's own files, not a published data set."""
        return is_own(self.name)

    @property
    def unlabelled(self) -> np.ndarray:
        """Returns the positions in `train` of images without a label, int64 [n]."""
        return np.flatnonzero(self.train.labels == UNLABELLED)

    def labelling(self, count: int) -> "Source":
        """Returns the data set whose first `count` classes alone are classes.

        The others' images are in no part that is labelled or evaluated on; their labels in `train`
        are no position in `classes`.

        Raises:
            UserError: there are not more classes than that.
        """
        most = len(self.classes)
        allowed = f"be at least 2 and fewer than the {most} classes of {self.name}"
        require(2 <= count < most, f"--labelled_classes={count}", allowed)
        kept = {
            part: images and images.keep(np.flatnonzero(images.labels < count))
            for part, images in (("val", self.val), ("test", self.test))
        }
        return dataclasses.replace(self, classes=self.classes[:count], **kept)

    @property
    def names(self) -> Sequence[str] | range:
        """Names each image of `train`, and copies of an image as the first of them."""
        ids = self.train.ids
        return range(len(self.train)) if ids is None else [ids[place] for place in self.originals]

    @functools.cached_property
    def originals(self) -> np.ndarray:
        """Returns the position of the first copy of each image of `train`, int64 [N]."""
        ids = self.train.ids
        if ids is None or not self.own:
            return np.arange(len(self.train))
        first, found = {}, self.contents.get
        # Those of `train` have their part in the contents alone.
        keys = [found(each) or found(f"train/{each}") or each for each in ids]
        return np.array([first.setdefault(key, place) for place, key in enumerate(keys)], np.int64)

    @property
    def outside(self) -> np.ndarray:
        """Positions in `train` of images whose label is none of the classes, int64 [n]."""
        return np.flatnonzero(self.train.labels >= len(self.classes))

    @property
    def fingerprint(self) -> str | None:
        """Returns a checksum of a user's files, whose name says little; None of published data."""
        if not self.own:
            return None
        return checksum(json.dumps(self.contents, sort_keys=True).encode())

    @property
    def info(self) -> DataInfo:
        """Returns the facts that settings depend on."""
        labels, originals = self.train.labels, self.originals
        checked = np.isin(originals, originals[self.trusted])
        return DataInfo(
            len(self.classes),
            int(((labels >= 0) & (labels < len(self.classes)) & ~checked).sum()),
            self.flip,
            unlabelled=len(self.unlabelled),
            trusted=len(self.trusted),
            val=self.val is not None,
            test=self.test is not None,
            size=self.image_shape[:2],
        )

    def __post_init__(self):
        if not self.contents:
            parts = {split: getattr(self, split) for split in ("train", "val", "test")}
            found = {
                f"{self.name} {split}, {len(part)} images": checksum(
                    np.ascontiguousarray(part.labels)
                )
                for split, part in parts.items()
                if part is not None
            }
            object.__setattr__(self, "contents", found)
