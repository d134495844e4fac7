"""Interpolation policies: where lambda comes from. One file per kind.

>>> make("beta(0.5)")
Beta(alpha=0.5, per_sample=False)
>>> names()
['beta', 'cutmix', 'dynamic', 'fixed', 'meta', 'mixup_cutmix', 'none']
"""

from tf_metamixup.core import registry
from tf_metamixup.policies.policy import (
    POLICIES,
    Policy,
    Task,
    check,
    check_meta_stage,
    valid_lambdas,
)

registry.discover(__name__, __path__)

make = POLICIES.make
names = POLICIES.names
parse = POLICIES.parse

__all__ = [
    "POLICIES",
    "Policy",
    "Task",
    "check",
    "check_meta_stage",
    "make",
    "names",
    "parse",
    "valid_lambdas",
]
