"""Training on labels of which some are wrong, steered by a few that were checked."""

import dataclasses
from typing import ClassVar

from tf_metamixup.core import label_trust
from tf_metamixup.methods.label_judge import LabelTrust
from tf_metamixup.methods.method import METHODS


@METHODS.register("audit")
@dataclasses.dataclass(frozen=True)
class Audit(LabelTrust):
    """Judges labels by a logistic regression on audited images; see `core.label_trust`.

    An audited image has its checked label and the one that it was given, or else one that is drawn
    by how labels go wrong. It is not trained on.
    """

    audits: ClassVar[str] = "apart"

    def right(self, evidence):
        """See `LabelTrust`."""
        p, labels, given = evidence.checked
        if given is None:
            given = label_trust.injected(p, labels, evidence.generator)
        weights = label_trust.fit(label_trust.features(p, given), given == labels)
        inputs = label_trust.features(evidence.probabilities, evidence.given)
        return label_trust.sigmoid(inputs @ weights)
