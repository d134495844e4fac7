"""From a source and the settings of a run to what each of its images is used for."""

import dataclasses
import warnings

import numpy as np

from tf_metamixup.config import Config
from tf_metamixup.core import rng
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.plurals import counted
from tf_metamixup.data import imbalance, splits
from tf_metamixup.data.contents import listing
from tf_metamixup.data.images import Source


def parts_of(source: Source, config: Config) -> splits.Splits:
    """Splits what training may look at.

    Raises:
        UserError: the data cannot be split as the settings say.
    """
    labels = source.train.labels.copy()
    names, originals = source.names, source.originals
    # What has a place already is of no class to what follows, nor are copies of it.
    labels[np.isin(originals, originals[source.trusted])] = splits.TAKEN
    found = {}
    for part, share in (("test", config.test_fraction), ("val", config.val_fraction)):
        if share is not None:
            found[part] = splits.held_out(
                labels, names, len(source.classes), share, config.seed, part
            )
            _tell_missing(source, labels, found[part], part)
            labels[found[part]] = splits.TAKEN
    tested = source.test is not None or "test" in found or config.evaluate_on == "unused"
    if "val" in found and not tested:
        note = f"splits {len(found['val']):,} images off the training images, and their error is "
        note += "a validation error"
        if not len(found["val"]):
            note = "finds no class with at least two images, so no error is measured"
        warnings.warn(
            f"there are no test images: --val_fraction={config.val_fraction} {note}", stacklevel=3
        )
    parts = splits.make(
        labels,
        source.classes,
        seed=config.seed,
        num_meta=config.num_meta,
        num_labels=config.num_labels,
        train_examples=config.train_examples,
        meta_source=config.meta_source,
        include_labelled=config.include_labelled,
        balanced=not source.own,
    )
    if len(source.trusted):
        found["meta"] = source.trusted
        if config.meta_source == "train":
            found["labelled"] = np.union1d(parts.labelled, source.trusted)
    if len(source.unlabelled) and config.mode == "ssl":
        more = parts.labelled if config.include_labelled else []
        found["unlabelled"] = np.union1d(source.unlabelled, more).astype(np.int64)
    if len(source.outside):
        others = _outside(parts, source, config)
        found["unlabelled"] = np.union1d(found.get("unlabelled", parts.unlabelled), others)
    parts = _without_copies(dataclasses.replace(parts, **found), source, config)
    return parts if config.imbalance is None else _imbalanced(parts, source, config)


def require_batch(parts: splits.Splits, config: Config, *, guesses: bool) -> None:
    """Refuses a batch that is larger than one of the parts that are trained on.

    Args:
        parts: of the data.
        config: the settings.
        guesses: whether the method trains on unlabelled images.
    """
    needed = {"labelled": config.batch_size}
    if guesses:
        needed["unlabelled"] = config.batch_size * config.unlabelled_ratio
    for name, rows in needed.items():
        count = len(getattr(parts, name))
        if rows > count:
            flag = "num_labels" if config.mode == "ssl" else "train_examples"
            asked = getattr(config, flag)
            ratio, lower = "", "--batch_size"
            if rows != config.batch_size:
                ratio = f" with --unlabelled_ratio={config.unlabelled_ratio}"
                lower += " or --unlabelled_ratio"
            raise UserError(
                f"--batch_size={config.batch_size}{ratio} is larger than the {count} {name} images"
                f"{f' (--{flag}={asked})' if asked else ''}; lower {lower}"
            )


def _without_copies(parts: splits.Splits, source: Source, config: Config) -> splits.Splits:
    """Leaves out of training what is a copy of an image that is held out or was checked."""
    originals = source.originals
    meta = parts.meta if config.meta_source == "heldout" else source.trusted
    aside = np.concatenate([meta, parts.val, parts.test])
    found = {}
    for part in ("labelled", "unlabelled"):
        trained_on = getattr(parts, part)
        copies = np.isin(originals[trained_on], originals[aside]) & ~np.isin(trained_on, aside)
        # A class whose images are all copies of each other keeps some.
        labels = source.train.labels[trained_on]
        lost = np.setdiff1d(labels[labels >= 0], labels[~copies])
        found[part] = trained_on[~copies | np.isin(labels, lost)]
    checked = np.flatnonzero(np.isin(originals, originals[source.trusted]))
    checked = np.setdiff1d(checked, source.trusted)
    dropped = np.concatenate(
        [checked, *(np.setdiff1d(getattr(parts, part), kept) for part, kept in found.items())]
    )
    if count := len(np.unique(dropped)):
        warnings.warn(
            f"{source.name}: {counted(count, 'image')} left out of training: copies of "
            "checked, meta, validation or test images",
            stacklevel=4,
        )
    return dataclasses.replace(parts, **found)


def _tell_missing(source: Source, labels: np.ndarray, held: np.ndarray, part: str) -> None:
    """Warns of classes that have no image among those that were held out."""
    there = np.intersect1d(labels[labels >= 0], np.arange(len(source.classes)))
    if len(held) and (lacking := [source.classes[c] for c in np.setdiff1d(there, labels[held])]):
        warnings.warn(
            f"{source.name}: no {part} image is split off for classes with one image "
            f"({listing(lacking)}), so their error is not measured",
            stacklevel=4,
        )


def _outside(parts: splits.Splits, source: Source, config: Config) -> np.ndarray:
    """Returns images of no class: all, or as many per class of theirs as a class has unlabelled."""
    if config.train_examples is None:
        return source.outside
    others = len(np.unique(source.train.labels[source.outside]))
    generator = rng.generator(config.seed, "outside")
    count = len(parts.unlabelled) * others // len(source.classes)
    return np.sort(generator.permutation(source.outside)[:count])


def _imbalanced(parts: splits.Splits, source: Source, config: Config) -> splits.Splits:
    """Returns the parts with a long tail in what is trained on but for the meta images."""
    found = {}
    for name in ("labelled", "unlabelled"):
        part, labels = getattr(parts, name), source.train.labels
        if len(rest := np.setdiff1d(part, parts.meta)):
            kept = imbalance.long_tailed(
                labels, rest, len(source.classes), config.imbalance, config.seed
            )
            found[name] = np.union1d(kept, np.intersect1d(part, parts.meta))
    kept = dataclasses.replace(parts, **found)
    before, after = (np.union1d(each.labelled, each.unlabelled) for each in (parts, kept))
    return dataclasses.replace(kept, left_out=np.setdiff1d(before, after))
