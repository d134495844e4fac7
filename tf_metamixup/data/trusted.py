"""What images with checked labels are for: a share of each batch, and the audit of the others."""

import numpy as np

from tf_metamixup.config import Config
from tf_metamixup.core import rng
from tf_metamixup.core.errors import UserError
from tf_metamixup.data.images import UNLABELLED, Audited, Source
from tf_metamixup.data.streamed import Streamed

# Share of the trusted images that is audited, where the others are trained on.
AUDITED_SHARE = 0.25


def require_auditable(source: Source, config: Config) -> None:
    """Refuses an audit without images of its own, or of images that are not in memory."""
    if config.meta_source == "train":
        raise UserError(
            f"--method={config.method} judges labels with meta images that are kept apart from the "
            "others; give --trusted_share=0.2, which gives them their own part of each batch, or "
            "--meta_source=heldout"
        )
    if isinstance(source.train, Streamed):
        raise UserError(
            f"--method={config.method} cannot be used with {source.name}, whose images do not fit "
            "into memory, which an audit needs; use another method"
        )


def rows_of_batch(config: Config, groups: int) -> int:
    """Returns how many rows of a batch are trusted images, as many in each row group."""
    if config.trusted_share is None:
        return 0
    rows = round(config.trusted_share * config.batch_size / groups) * groups
    if not 0 < rows < config.batch_size:
        raise UserError(
            f"--trusted_share={config.trusted_share} makes {rows} of the {config.batch_size} rows "
            f"of a batch trusted images, in {groups} row groups; both kinds of image need rows: "
            "change it, or raise --batch_size"
        )
    return rows


def split(
    meta: np.ndarray, labels: np.ndarray, config: Config, audits: str, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the trusted images that are trained on, `rows` per batch, and those audited."""
    if not config.trusted_share:
        return meta[:0], meta
    trained = audited = meta
    if audits == "apart":
        drawn = rng.generator(config.seed, "audited").permutation(meta)
        # By class, so that each has its share.
        drawn = drawn[np.argsort(labels[drawn], kind="stable")]
        taken = np.arange(len(drawn)) % round(1 / AUDITED_SHARE) == 0
        trained, audited = np.sort(drawn[~taken]), np.sort(drawn[taken])
    if rows > len(trained):
        raise UserError(
            f"--trusted_share={config.trusted_share} takes {rows} trusted images for a "
            f"batch of {config.batch_size}, but there are {len(trained)} to train on"
            + (f" besides {len(audited)} that are audited" if audits == "apart" else "")
            + "; lower it or --batch_size, or check more images"
        )
    return trained, audited


def audited(source: Source, noisy: np.ndarray, positions: np.ndarray, config: Config) -> Audited:
    """Returns the checked images; what they were given is known of noise and of some tables."""
    checked = source.train.keep(positions)
    known = noisy[positions]
    if config.label_noise is None:
        given = source.given if len(source.given) else np.full(len(source.trusted), UNLABELLED)
        known = given[np.isin(source.trusted, positions)]
        if not len(known) or UNLABELLED in known:
            known = None
    return Audited(np.asarray(checked.images), checked.labels, known)
