"""Wrong labels for benchmarks: which of the training labels are replaced, and by what.

Noise goes into the labels that are trained on as given. Checked, validation and test labels stay
as they are.
"""

import numpy as np

from tf_metamixup.core import rng
from tf_metamixup.core.errors import UserError, explained, require
from tf_metamixup.core.registry import Registry

NOISES = Registry("label noise")
parse = NOISES.parse
"""Reads the text of `--label_noise`, such as `symmetric(0.4)`."""

# What people and networks confuse (Patrini et al. 2017): the asymmetric noise of CIFAR-10.
CIFAR10 = {
    "truck": "automobile",
    "bird": "airplane",
    "deer": "horse",
    "cat": "dog",
    "dog": "cat",
}


class _Labels:
    """Holds what noise is made from: labels [N], names of classes, ids or None, a generator."""

    def __init__(self, labels, classes, ids, generator):
        self.labels, self.classes, self.ids, self.generator = labels, classes, ids, generator


def noisy(text: str, labels: np.ndarray, classes: list[str], ids, seed: int) -> np.ndarray:
    """Returns the labels with noise, int64 [N].

    Args:
        text: `symmetric(rate)`, `asymmetric(rate)` or `file(path, column=...)`.
        labels: the right ones, int [N].
        classes: their names.
        ids: names of the images, or None.
        seed: of the run.

    Raises:
        UserError: the noise is unknown, or does not fit the labels.
    """
    generator = rng.generator(seed, "label noise")
    return NOISES.make(text, _Labels(labels, classes, ids, generator))


def _replaced(known: _Labels, rate: float, others: np.ndarray) -> np.ndarray:
    require(0 <= rate <= 1, f"label noise: rate={rate}", "lie in [0, 1]")
    wrong = known.generator.random(len(known.labels)) < rate
    return np.where(wrong, others, known.labels)


@NOISES.register("symmetric")
def symmetric(known: _Labels, rate: float = 0.4) -> np.ndarray:
    """Replaces a label, with probability `rate`, by one of the other classes, all alike."""
    classes = len(known.classes)
    moved = known.generator.integers(1, max(classes, 2), len(known.labels))
    return _replaced(known, rate, (known.labels + moved) % classes)


@NOISES.register("asymmetric")
def asymmetric(known: _Labels, rate: float = 0.4) -> np.ndarray:
    """Replaces a label, with probability `rate`, by that of the class it is confused with.

    That is CIFAR-10's mapping (Patrini et al. 2017) where the classes are CIFAR-10's, and else the
    next class.
    """
    names = list(known.classes)
    if set(CIFAR10) <= set(names):
        target = np.array([names.index(CIFAR10.get(name, name)) for name in names])
    else:
        target = (np.arange(len(names)) + 1) % len(names)
    return _replaced(known, rate, target[known.labels])


@NOISES.register("file")
def from_file(known: _Labels, path: str = "", column: str = "label") -> np.ndarray:
    """Reads labels by image from an .npz file with the arrays `id` and `column`.

    Such is CIFAR-10N (Wei et al. 2022) by record id, with the columns `aggre_label`,
    `random_label1` and `worse_label`.
    """
    unreadable = explained(f"label noise: cannot read {path} as .npz", Exception)  # of any kind
    with unreadable, np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    if missing := {"id", column} - set(arrays):
        raise UserError(
            f"label noise: {path} has no array {', '.join(sorted(missing))}; it has "
            f"{', '.join(sorted(arrays))}"
        )
    ids, given = arrays["id"], arrays[column]
    if given.dtype.kind not in "iu" or given.shape != (len(ids),):
        raise UserError(
            f"label noise: {path}: {column} must hold one integer for each of the {len(ids)} in "
            f"id, but is {given.dtype} {list(given.shape)}"
        )
    if known.ids is None:
        raise UserError("label noise: these images have no ids to look up in a file")
    found = dict(zip(ids.astype(str).tolist(), given.tolist(), strict=True))
    if lacking := [each for each in known.ids if each not in found]:
        raise UserError(f"label noise: {path} has no label for {len(lacking)} images: {lacking[0]}")
    labels = np.array([found[each] for each in known.ids], np.int64)
    if labels.min() < 0 or labels.max() >= len(known.classes):
        raise UserError(f"label noise: {path} has labels outside 0 to {len(known.classes) - 1}")
    return labels
