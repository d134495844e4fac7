"""From a source and the settings of a run to the streams that it trains on."""

import dataclasses
import functools
import math
import warnings
from typing import Any

import numpy as np

from tf_metamixup.config import RECORDED_ONLY, Config
from tf_metamixup.config.defaults import OWN_EVALUATION_STEPS, is_own
from tf_metamixup.config.fields import DataSettings
from tf_metamixup.core.errors import UserError, require
from tf_metamixup.core.suggestions import did_you_mean
from tf_metamixup.data import balance, label_noise, pipeline, splits, trusted
from tf_metamixup.data.images import InMemory, Source
from tf_metamixup.data.joined_stream import JoinedStream
from tf_metamixup.data.parts import parts_of, require_batch
from tf_metamixup.data.prepared import Prepared
from tf_metamixup.data.stream import Stream
from tf_metamixup.data.streamed import Streamed

TEST_BATCH = 500
# So many encoded images, or fewer, are kept in memory where the rest stays in files; of ImageNet
# that is 2 GiB.
KEPT = 20_000
# What `streams` takes.
_DATA = {field.name for field in dataclasses.fields(DataSettings)} - {"dataset", *RECORDED_ONLY}


def prepare(
    source: Source, config: Config, views: int = 1, *, strong_views: int = 0, audits: str = ""
) -> Prepared:
    """Splits and streams for a `config` whose data defaults are filled in.

    Args:
        source: the data set.
        config: the settings.
        views: augmented views of each unlabelled image; 0 leaves them out.
        strong_views: how many of them, the last ones, are strong: see `randaugment`.
        audits: which checked images labels are judged by; see `Method`.

    Raises:
        UserError: the data cannot be split as the settings say.
    """
    if audits:
        trusted.require_auditable(source, config)
    parts = parts_of(source, config)
    right, noisy = source.train.labels, _noisy(source, config)
    labels = noisy.copy()
    labels[parts.meta] = right[parts.meta]  # those were checked
    given = dataclasses.replace(source.train, labels=labels)
    wrong = parts.labelled[labels[parts.labelled] != right[parts.labelled]]
    semi = config.mode == "ssl"
    if len(source.unlabelled) and not semi:
        warnings.warn(
            f"--mode=sl ignores the {len(source.unlabelled):,} unlabelled images; --mode=ssl "
            "learns from them too",
            stacklevel=2,
        )
    require_batch(parts, config, guesses=semi and views > 0)
    height, width, _ = source.image_shape
    allowed = f"be less than the sides of the images, {height}x{width}"
    require(config.shift < min(height, width), f"--shift={config.shift}", allowed)
    groups = config.row_groups or config.replicas or 1
    meta_batch = _meta_batch(parts.meta, config, groups)
    drawn = _balanced(source, config, parts.labelled, labels)
    trusted_rows = trusted.rows_of_batch(config, groups)
    trained, audited = trusted.split(parts.meta, right, config, audits, trusted_rows)

    weak = {"flip": config.flip, "shift": config.shift}
    # A method that tells views apart keeps its weak ones.
    is_strong = config.augment == "randaugment"
    augmented = {**weak, "strong": (0,) if is_strong else ()}
    stream = functools.partial(_stream, config)
    labelled = stream(
        "labelled",
        given,
        drawn,
        batch_size=config.batch_size - trusted_rows,
        checked=source.trusted if config.label_noise is None else parts.meta,
        **augmented,
    )
    if trusted_rows:
        checked = stream("trusted", source.train, trained, batch_size=trusted_rows, **augmented)
        labelled = JoinedStream(labelled, checked, groups)
    unlabelled = None
    if semi and views:
        unlabelled = stream(
            "unlabelled",
            source.train,
            parts.unlabelled,
            batch_size=config.batch_size * config.unlabelled_ratio,
            views=views,
            strong=range(0 if is_strong and not strong_views else views - strong_views, views),
            **weak,
        )
    meta = stream("meta", source.train, parts.meta, batch_size=meta_batch)

    passed = len(parts.unlabelled) if semi else len(parts.labelled) + len(trained)
    # A method that reads none may have fewer unlabelled images than a batch.
    epoch_steps = max(1, passed // (config.batch_size * config.unlabelled_ratio))
    test, val = _evaluation_images(source, config, parts)
    evaluated = [part for part in (test, val) if part is not None]
    fewest = OWN_EVALUATION_STEPS if is_own(config.dataset) else 1
    rows = epoch_steps * (labelled.batch_size + (unlabelled.batch_size if unlabelled else 0))
    return Prepared(
        splits=parts,
        labelled=labelled,
        unlabelled=unlabelled,
        meta=meta,
        test=None if test is None else pipeline.test_batches(test, TEST_BATCH),
        validation=None if val is None else pipeline.test_batches(val, TEST_BATCH),
        judged=val if test is None else test,
        epoch_steps=epoch_steps,
        evaluate_every=math.ceil(max(sum(map(len, evaluated)) / rows, fewest / epoch_steps)),
        audited=trusted.audited(source, noisy, audited, config) if audits else None,
        trusted_share=config.trusted_share,
        relabelled=dict(zip(wrong.tolist(), labels[wrong].tolist(), strict=True)),
    )


def streams(
    source: Source,
    batch_size: int,
    *,
    views: int = 1,
    strong_views: int = 0,
    audits: str = "",
    **settings,
) -> dict[str, Any]:
    """Makes what `Trainer.fit` takes of a data set: `fit(**streams(source, 50), steps=...)`.

    Labelled and, where there are any, unlabelled images are shuffled and augmented; order and
    augmentation are functions of the seed and the step. A run that is resumed is refused where the
    images have changed.

    Args:
        source: the data set.
        batch_size: rows of a global batch.
        views: augmented views of each unlabelled image that the method takes: `method.views`.
        strong_views: `method.strong_views`.
        audits: `method.audits`, for methods that need checked images.
        **settings: of the command line, about the data: `augment`, `flip`, `shift`, `num_meta`,
            `meta_source`, `val_fraction`, ..., and `seed`, `replicas`, `row_groups` and `mode`.
            `num_labels` hides all labels but so many; `mode="sl"` ignores unlabelled images.

    Raises:
        UserError: the data cannot be split as the settings say.
    """
    known = {*_DATA, "mode", "seed", "replicas", "row_groups"}
    for name in settings.keys() - known:
        raise UserError(f"streams() takes no setting {name!r}{did_you_mean(name, sorted(known))}")
    semi = len(source.unlabelled) or settings.get("num_labels") is not None
    settings = {"mode": "ssl" if semi else "sl", **settings}
    config = Config(dataset=source.name, batch_size=batch_size, **settings).resolve()
    config = config.resolve(data=source.info)
    made = prepare(source, config, views, strong_views=strong_views, audits=audits)
    names = ("labelled", "unlabelled", "meta", "audited", "validation", "test")
    return {
        **{name: getattr(made, name) for name in names},
        "splits": made.named(source.train.ids),
        "contents": source.contents,
        "dataset": source.name,
        "data_settings": {
            "batch_size": batch_size,
            **{name: getattr(config, name) for name in sorted(_DATA)},  # of a seed, splits tell
        },
        "data": lambda: source.fingerprint,
    }


def _noisy(source: Source, config: Config) -> np.ndarray:
    """Returns the labels that the training images were given, int64 [N]."""
    train = source.train
    if config.label_noise is None:
        return train.labels
    if isinstance(train, Streamed):
        raise UserError(
            f"--label_noise={config.label_noise} cannot be used with {source.name}, whose images "
            "do not fit into memory; drop the flag"
        )
    classes, ids = source.classes, train.ids
    return label_noise.noisy(config.label_noise, train.labels, classes, ids, config.seed)


def _meta_batch(meta: np.ndarray, config: Config, groups: int) -> int:
    """Returns the paper's m, the batch size; a smaller meta set is read whole."""
    rows = min(config.batch_size, len(meta)) // groups * groups
    if not rows:
        raise UserError(
            f"--num_meta={config.num_meta} gives a meta set of {len(meta)} images, fewer "
            f"than the {groups} row groups; raise it or lower --row_groups or --replicas"
        )
    return rows


def _balanced(
    source: Source, config: Config, labelled: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """Returns the labelled positions, repeated where their class, as `given` [N], is rare."""
    if config.balance is None:
        return labelled
    if isinstance(source.train, Streamed):
        raise UserError(
            f"--balance={config.balance} cannot be used with {source.name}, which is read from its "
            "TFDS files in their order; drop the flag"
        )
    return labelled[balance.repeated(given[labelled], config.balance, config.seed)]


def _stream(
    config: Config, purpose: str, images: InMemory | Streamed, indices: np.ndarray, **options
) -> Stream:
    """Returns `pipeline.stream` of a run; few images of many are read into memory before."""
    if isinstance(images, Streamed) and len(indices) <= KEPT:
        # A batch of few of the images would read a large share of the files, every step.
        images, indices = images.keep(indices), np.arange(len(indices))
    return pipeline.stream(images, indices, seed=config.seed, purpose=purpose, **options)


def _evaluation_images(
    source: Source, config: Config, parts: splits.Splits
) -> list[InMemory | Streamed | None]:
    """Returns the test and the validation images, wherever they come from."""
    test, val = (
        source.train.keep(taken) if len(taken := getattr(parts, name)) else getattr(source, name)
        for name in ("test", "val")
    )
    if config.evaluate_on == "unused":
        most = len(source.train) if test is None else len(test)
        labelled_at = np.flatnonzero(source.train.labels >= 0)
        labelled_at = np.setdiff1d(labelled_at, source.outside)
        test = source.train.keep(parts.unused(labelled_at, source.originals, most))
    return [test, val]
