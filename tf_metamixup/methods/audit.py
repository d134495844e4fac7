"""Training on labels of which some are wrong, steered by a few that were checked."""

import dataclasses
from typing import ClassVar

import numpy as np

from tf_metamixup.core import label_trust
from tf_metamixup.methods.label_judge import LabelTrust
from tf_metamixup.methods.method import METHODS


@METHODS.register("audit")
@dataclasses.dataclass(frozen=True)
class Audit(LabelTrust):
    """Judges labels by a logistic regression on audited images; see `core.label_trust`.

    It reads how likely the given label is by the network's predictions, aligned with the shares of
    the given labels, and by Bayes' rule with how often images of each class are given each label.
    An audited image has its checked label and the one that it was given, or else all labels, each
    by how likely it is that the image was given it. It is not trained on.
    """

    audits: ClassVar[str] = "apart"

    def assess(self, evidence):
        checked, labels, given = evidence.checked
        p, untrusted = evidence.probabilities, evidence.untrusted
        shares = np.bincount(evidence.given, minlength=p.shape[1]) / len(p)
        ratio = (shares + label_trust.SMALLEST) / (p.mean(axis=0) + label_trust.SMALLEST)
        p, checked = (label_trust.aligned(each, ratio) for each in (p, checked))
        # Targets and trust are better with the doubt that EM takes away; see docs/results.md.
        cautious = label_trust.confusion(p[untrusted], evidence.given[untrusted])
        matrix = label_trust.refined(cautious, p[untrusted], evidence.given[untrusted])
        images, given, chances = label_trust.possible(matrix, labels, given)
        checked, labels = checked[images], labels[images]
        known = label_trust.posterior(checked, given, matrix)
        inputs = label_trust.features(checked, known, given)
        weights = label_trust.fit(inputs, given == labels, chances)
        known = label_trust.posterior(p, evidence.given, matrix)
        inputs = label_trust.features(p, known, evidence.given)
        classes = label_trust.posterior(p, evidence.given, cautious)
        return label_trust.sigmoid(inputs @ weights), classes
