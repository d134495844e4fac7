"""Training on labels of which some are wrong, without any that was checked."""

import dataclasses

import numpy as np

from tf_metamixup.core import gaussian_mixture
from tf_metamixup.core.label_trust import SMALLEST
from tf_metamixup.methods.label_judge import LabelTrust
from tf_metamixup.methods.method import METHODS


@METHODS.register("small_loss")
@dataclasses.dataclass(frozen=True)
class SmallLoss(LabelTrust):
    """Judges labels by their losses: right labels are learned first, and have the small ones.

    A mixture of two Gaussians is fitted to the cross-entropies of one pass. The probability that a
    label is right is that of the component with the smaller mean. M-correction (Arazo et al. 2019)
    does so with two beta distributions and DivideMix (Li et al. 2020) with Gaussians. It always
    finds two components: where all labels are right it doubts those that are hard.
    """

    def assess(self, evidence):
        given = np.take_along_axis(evidence.probabilities, evidence.given[:, None], axis=1)[:, 0]
        each = -np.log(given.astype(np.float64) + SMALLEST)
        # Checked labels are trained on more often: their losses say nothing of the others'.
        low, high = gaussian_mixture.fit(each[evidence.untrusted])
        return gaussian_mixture.lower(each, low, high), evidence.probabilities
