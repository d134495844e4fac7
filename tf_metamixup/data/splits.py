"""The labelled, unlabelled and meta parts of a training set: class-balanced, seeded and saved."""

import bisect
import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np

from tf_metamixup.core import rng
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.contents import checksum, listing

TAKEN = -2  # in place of the label of an image that has a part already


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Holds positions in a training set, each part sorted int64 [n]."""

    labelled: np.ndarray  # trained on with their labels
    unlabelled: np.ndarray  # trained on without; empty in supervised learning
    meta: np.ndarray  # the meta set, which judges lambda
    # val, test: taken out of the training set to evaluate on; empty where it is not.
    val: np.ndarray = dataclasses.field(default_factory=lambda: np.array([], np.int64))
    test: np.ndarray = dataclasses.field(default_factory=lambda: np.array([], np.int64))
    # Of no use, so that the training set has a long tail; see `imbalance`.
    left_out: np.ndarray = dataclasses.field(default_factory=lambda: np.array([], np.int64))

    def unused(self, labelled: np.ndarray, originals: np.ndarray, most: int) -> np.ndarray:
        """Returns at most `most` of the labelled images that are in no part, evenly spread, sorted.

        Copies of an image have the same of the `originals`, int [N], and are in no part either.

        Raises:
            UserError: all are used.
        """
        used = originals[np.concatenate(list(vars(self).values()))]
        rest = np.sort(labelled[~np.isin(originals[labelled], used)])
        if not rest.size:
            raise UserError(
                "no training image is unused, so evaluate_on=unused has no images to evaluate on; "
                "limit the training images with train_examples"
            )
        return rest[np.unique(np.linspace(0, len(rest) - 1, min(most, len(rest))).astype(int))]

    def named(self, ids: list[str] | None = None) -> dict[str, list]:
        """Returns the parts for `splits.json`: the data set's own `ids` where it has them."""
        return {
            name: part.tolist() if ids is None else [ids[i] for i in part]
            for name, part in vars(self).items()
            # As older versions did, which had three parts.
            if len(part) or name in ("labelled", "unlabelled", "meta")
        }


def held_out(
    labels: np.ndarray, names: Sequence[str], classes: int, share: float, seed: int, purpose: str
) -> np.ndarray:
    """Takes a share of each class out of a training set, at least one image; sorted int64 [n].

    A class of one image keeps it. Which images it is follows from seed, purpose and their names, so
    that an image more or less does not change the others' places; images of one name stay together
    where the class has others. Images whose label is no class are left out.
    """
    taken = []
    for c in range(classes):
        members = np.flatnonzero(labels == c)
        drawn = [checksum(f"{seed}/{purpose}/{names[i]}".encode()) for i in members]
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        order = np.argsort(drawn, kind="stable")
        together = count
        while 0 < together < len(members) and drawn[order[together]] == drawn[order[count - 1]]:
            together += 1
        count = together if together < len(members) else count
        taken += members[order][:count].tolist()
    return np.array(sorted(taken), np.int64)


def make(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    seed: int,
    num_meta: int | None,
    num_labels: int | None = None,
    train_examples: int | None = None,
    meta_source: str = "heldout",
    include_labelled: bool = False,
    balanced: bool = True,
) -> Splits:
    """Splits a training set (docs/reproduction.md, points 4, 5, 16, 17 and 20).

    Each class is put into one seeded order; the meta set is its beginning, the labelled images
    follow, then the unlabelled ones. For one seed the meta set is therefore the same whatever
    `num_labels` is, and fewer labels are a subset of more.

    Args:
        labels: int [N].
        classes: their names; rows with a label that is no position here are left out.
        seed: of the run.
        num_meta: rounded down to a multiple of `classes`; None takes no meta set.
        num_labels: None is supervised learning: all that is left is labelled.
        train_examples: caps what is left after the meta set, labelled and unlabelled together, as
            balanced as the classes allow.
        meta_source: `heldout`, or `train`, where the meta images are trained on like the others.
        include_labelled: whether labelled images are also unlabelled ones.
        balanced: whether all classes give as many; else a class that has fewer gives fewer: to a
            meta set that is held out, at most half of what it has.

    Raises:
        UserError: where `balanced`, and a class does not hold so many images; a class would have
            no labelled one.
    """
    if meta_source not in ("heldout", "train"):
        raise UserError(f"unknown meta source {meta_source!r}; known: heldout, train")
    generator = rng.generator(seed, "split")
    order = [generator.permutation(np.flatnonzero(labels == c)) for c in range(len(classes))]
    turn = generator.permutation(len(classes))  # who gets one more where a number is not a multiple
    sizes = np.array([len(members) for members in order])

    meta = _meta_sizes(num_meta, sizes, classes, meta_source, balanced)
    room = sizes - meta
    if train_examples is not None:
        room = _balanced(train_examples, room, turn)
    if num_labels is None:
        labelled = room
    else:
        if train_examples is not None and train_examples < num_labels:
            raise UserError(
                f"--train_examples={train_examples} is less than --num_labels={num_labels}, which "
                "it includes"
            )
        enough = np.full(len(classes), max(num_labels, 1)) if balanced else room
        labelled = _balanced(num_labels, enough, turn)
        flags = f"--num_labels={num_labels} after --num_meta={num_meta}"
        if train_examples is not None:
            flags += f" in --train_examples={train_examples}"
        _require(labelled, room, classes, flags, "labelled")
    if meta_source == "heldout":
        asked = {"num_labels": num_labels, "train_examples": train_examples}
        _require_labelled(labelled, sizes - meta, classes, num_meta, asked)

    def part(first: np.ndarray, count: np.ndarray) -> np.ndarray:
        taken = [o[f : f + n] for o, f, n in zip(order, first, count, strict=True)]
        return np.sort(np.concatenate(taken)).astype(np.int64)

    # With labelled images included, the unlabelled ones begin where the labelled ones do.
    skipped = np.zeros_like(labelled) if include_labelled else labelled
    unlabelled = room - skipped if num_labels is not None else np.zeros_like(room)
    if num_labels is not None and not unlabelled.any():
        raise UserError(
            f"no unlabelled image is left after --num_labels={num_labels} and "
            f"--num_meta={num_meta}; lower one of them"
            + (f", or raise --train_examples={train_examples}" if train_examples else "")
        )
    trained = (0 * meta, meta + labelled) if meta_source == "train" else (meta, labelled)
    return Splits(part(*trained), part(meta + skipped, unlabelled), part(0 * meta, meta))


def _meta_sizes(
    num_meta: int | None,
    sizes: np.ndarray,
    classes: Sequence[str],
    meta_source: str,
    balanced: bool,
) -> np.ndarray:
    """Returns the number of meta images from each class."""
    if num_meta is None:
        return np.zeros_like(sizes)
    per_class = num_meta // len(classes)
    if per_class < 1:
        raise UserError(
            f"--num_meta={num_meta} does not give each of the {len(classes)} classes one meta "
            f"image; give --num_meta={len(classes)} or more"
        )
    meta = np.full(len(classes), per_class)
    if not balanced:
        meta = np.minimum(meta, sizes if meta_source == "train" else sizes // 2)
        if short := [f"{classes[c]} {meta[c]}" for c in np.flatnonzero(meta < per_class)]:
            warnings.warn(
                f"the meta set is not balanced: it has {per_class} images per class, but fewer for "
                f"classes that have few: {listing(short)}",
                stacklevel=2,
            )
    _require(meta, sizes, classes, f"--num_meta={num_meta}", "meta")
    return meta


def _balanced(total: int, room: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Divides `total` among the classes, as evenly as their `room` allows.

    All classes are filled to one level, and what remains goes round in the order `turn`, so that a
    larger total never takes from a class.
    """
    total = min(total, int(room.sum()))
    levels = range(int(room.max()) + 1)
    level = bisect.bisect_right(levels, total, key=lambda n: int(np.minimum(room, n).sum())) - 1
    counts = np.minimum(room, level)
    extra = [c for c in turn if room[c] > level][: total - int(counts.sum())]
    counts[extra] += 1
    return counts


def _require(
    wanted: np.ndarray, available: np.ndarray, classes: Sequence[str], flags: str, kind: str
) -> None:
    """Refuses a part that takes more images of a class than there are."""
    short = np.flatnonzero(wanted > available)
    if short.size:
        c = short[0]
        raise UserError(
            f"{flags} needs {wanted[c]} {kind} images of the class {classes[c]!r}, but it has "
            f"{max(available[c], 0)}; lower the number or add images"
        )


def _require_labelled(
    labelled: np.ndarray,
    left: np.ndarray,
    classes: Sequence[str],
    num_meta: int,
    asked: dict[str, int | None],
) -> None:
    """Refuses a class without a labelled image, which would never be predicted."""
    missing = np.flatnonzero(labelled == 0)
    if not missing.size:
        return
    c = missing[0]
    if not left[c]:
        raise UserError(
            f"no labelled image of the class {classes[c]!r} is left: --num_meta={num_meta} uses "
            f"all of its images, {num_meta // len(classes)}; lower the number or add images"
        )
    name, value = next(item for item in asked.items() if item[1] is not None)
    raise UserError(
        f"--{name}={value} gives the class {classes[c]!r} no labelled image; give "
        f"--{name}={len(classes)} or more"
    )
