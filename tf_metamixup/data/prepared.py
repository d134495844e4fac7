"""What a run reads of a data set."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_metamixup.data import splits
from tf_metamixup.data.images import Audited, InMemory
from tf_metamixup.data.stream import Stream
from tf_metamixup.data.streamed import Streamed


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Holds what a run reads.

    Attributes:
        splits: which training images are labelled, unlabelled, meta, and evaluated on.
        labelled, unlabelled, meta: endless streams; `unlabelled` is None where none are looked at.
        test: finite batches: all test images, or as many unused ones; None where there are none.
        validation: finite batches of the validation images; None where there are none.
        judged: the images of `test`, or of `validation` where there are none.
        audited: checked images that labels are judged by, for a method that does so.
        evaluate_every: epochs between two evaluations by default: often, but without looking at
            more test images than were trained on in between, and on a user's own images not after
            each of their short epochs.
        epoch_steps: steps of one pass over the labelled images; in SSL, over the unlabelled ones,
            for methods that do not look at them too, so that all take as many steps.
        trusted_share: share of each batch that comes from checked images.
        relabelled: labels that noise was added to: position -> the label that is trained on.
    """

    splits: splits.Splits
    labelled: Stream
    unlabelled: Stream | None
    meta: Stream
    test: tf.data.Dataset | None
    validation: tf.data.Dataset | None
    judged: InMemory | Streamed
    epoch_steps: int
    evaluate_every: int
    audited: Audited | None = None
    trusted_share: float | None = None
    relabelled: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def evaluated(self) -> tf.data.Dataset:
        """Returns finite batches of what the run is evaluated on: `test`, else `validation`."""
        return self.validation if self.test is None else self.test

    def named(self, ids: list[str] | None) -> dict[str, list]:
        """Returns the content of `splits.json`: the parts, and (image, label) of the noise."""
        named = self.splits.named(ids)
        if self.relabelled:
            named["relabelled"] = [
                [i if ids is None else ids[i], given] for i, given in self.relabelled.items()
            ]
        return named

    def labels_used(self, reads_meta: bool) -> int:
        """Counts the training images whose labels are read."""
        reads_meta = reads_meta or self.audited is not None or bool(self.trusted_share)
        meta = self.splits.meta if reads_meta else []
        return len(np.union1d(self.splits.labelled, meta))
