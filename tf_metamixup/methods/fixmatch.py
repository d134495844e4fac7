"""FixMatch (Sohn et al. 2020), with the values of its code (google-research/fixmatch)."""

import dataclasses

import tensorflow as tf

from tf_metamixup.methods.guessing import Guessing, check_guessing
from tf_metamixup.methods.method import METHODS


@METHODS.register("fixmatch")
@dataclasses.dataclass(frozen=True)
class FixMatch(Guessing):
    """Labels strong views with the confident predictions on weak ones.

    Published runs have 7 unlabelled images per labelled one (`--unlabelled_ratio=7`) and evaluate
    an average of the weights (`--ema=0.999`). As in the code, all views share one pass for
    BatchNorm's statistics. A policy mixes labelled images with each other, and strong views of
    confident guesses with each other.

    Attributes:
        threshold: tau, which the largest probability has to reach (0.95).
        weight: lambda_u (1).
        align: whether predictions are moved towards the classes' shares among labelled images
            first: distribution alignment (Berthelot et al. 2020), an option of the paper.
        pool: whether labelled and unlabelled images mix with each other.
    """

    threshold: float = 0.95
    weight: float = 1.0
    align: bool = False
    pool: bool = False

    def __post_init__(self):
        check_guessing("fixmatch", self.weight, threshold=self.threshold)

    def weigh(self, probs, forward, clock):
        """Returns 1 where the largest probability reaches the threshold."""
        return tf.cast(tf.reduce_max(probs, axis=-1) >= self.threshold, probs.dtype), {}
