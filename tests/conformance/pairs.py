"""Every registered method with every policy that goes with it."""

import dataclasses
import re

from tests import tiny
from tests.conformance.properties import allowed
from tf_metamixup import methods, policies
from tf_metamixup.policies.meta import ESTIMATORS, Meta

# Options under which a method has something to do on 30 labelled images and in 120 steps. A method
# that is not here is tested with its defaults.
AT_THIS_SIZE = {
    "pseudo_label": "pseudo_label(threshold=0.5, decay=0.1, period=10)",
    "pi_model": "pi_model(coefficient=1.0)",
    "mean_teacher": "mean_teacher(coefficient=1.0)",
    "vat": "vat(epsilon=0.5, entropy=0.01)",
    "mixmatch": "mixmatch(coefficient=1.0, decay=0.9)",
    "fixmatch": "fixmatch(threshold=0.5, align=True)",
    "freematch": "freematch(decay=0.9)",
}
# A constant lambda is in Table II alone; of 0.5 it would leave targets of two classes at once.
FIXED = "fixed(0.9)"
DEFAULT = Meta().estimator
# Pairs beyond names: what differs in more than a number.
MORE = [
    ("supervised", FIXED),
    ("supervised", "cutmix"),
    ("supervised", "mixup_cutmix(per_sample=True)"),
    *(("supervised", f"meta(estimator={name!r})") for name in ESTIMATORS if name != DEFAULT),
    # Its loss has sums over replicas of its own, which the exact gradient runs through.
    (AT_THIS_SIZE["freematch"], tiny.EXACT),
    ("supervised", "meta(shuffle=True)"),
]
# Pairs whose method and whose policy are both in others: they take a step.
COMBINED = [
    (AT_THIS_SIZE["mixmatch"], "mixup_cutmix(per_sample=True)"),
    ("adamixup(discriminator=False)", "none"),
    (AT_THIS_SIZE["pseudo_label"], tiny.EXACT),
    (AT_THIS_SIZE["mixmatch"], "meta(alpha=0.75, estimator='nested')"),
    # Their passes have second derivatives of their own.
    (AT_THIS_SIZE["vat"], tiny.EXACT),
    ("manifold_mixup", tiny.EXACT),
]
# Policies that differ from `beta` in what they draw alone: with a few methods.
IN_MORE = {"fixed", "cutmix", "mixup_cutmix"}
# Policies as they are tested with every method, in few steps.
USUAL = {"meta": "meta(refresh=2)"}
# Methods whose step is that of another, or nearly: these policies are enough.
ENOUGH = {
    "small_loss": ("dynamic",),
    "glc": ("beta", "meta"),
    "freematch": ("none",),
    "softmatch": ("none",),
}
PAIRS = [
    (AT_THIS_SIZE.get(method, method), USUAL.get(policy, policy))
    for method in methods.names()
    for policy in policies.names()
    if policy in ENOUGH.get(method, set(policies.names()) - IN_MORE)
    and allowed(methods.make(method), policy)
] + MORE
# Every method, with the policy that asks most of it, and every policy: for what does not depend on
# how the two go together. It covers all that differs in more than a number.
COVERING = [pair for pair in PAIRS if pair[0] == "supervised" or pair[1] == USUAL["meta"]]
for place in (0, 1):
    covered = {pair[place] for pair in COVERING}
    COVERING += {pair[place]: pair for pair in PAIRS if pair[place] not in covered}.values()
OTHERS = [pair for pair in PAIRS if pair not in COVERING] + COMBINED
SEMI_SUPERVISED = [pair for pair in PAIRS if pair[1] == "none" and methods.make(pair[0]).views]
CHOOSY = [
    (re.sub(r"threshold=[^,)]*", "threshold=1.0", method), policy)
    for method, policy in COVERING
    if "threshold" in {field.name for field in dataclasses.fields(methods.make(method))}
]
