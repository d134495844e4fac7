"""Chooses by the validation error which weights a run ends with, and when it ends early."""

from collections.abc import Sequence
from typing import Any

import keras

from tf_metamixup.core.errors import UserError, require
from tf_metamixup.models.network import copies
from tf_metamixup.training.plan import Plan


class Selection:
    """Keeps the best weights of a run in addition to the current ones.

    They are variables, so that checkpoints hold them and that all replicas and workers copy the
    same ones. All decisions follow from the history: a resumed run makes them again.

    Attributes:
        variables: what a checkpoint holds: those that are given, and the best weights.
    """

    def __init__(self, trainer, variables: list[keras.Variable], plan: Plan):
        self._trainer, self._plan = trainer, plan
        self._best: list[keras.Variable] = []
        if plan.select == "best":
            with trainer.strategy.scope():
                self._best = copies(trainer.network.evaluated)
        self.variables = [*variables, *self._best]

    def observe(self, entries: Sequence[dict[str, Any]]) -> None:
        """Keeps the current weights where the last entry of the history is the best."""
        if self._best and best_epoch(entries) == len(entries):
            for kept, current in zip(self._best, self._trainer.network.evaluated, strict=True):
                kept.assign(current)

    def apply(self, entries: Sequence[dict[str, Any]]) -> int:
        """Gives the network the weights that the run ends with; returns their epoch, from 1."""
        if not self._best:
            return len(entries)
        for current, kept in zip(self._trainer.network.evaluated, self._best, strict=True):
            current.assign(kept)
        return best_epoch(entries)

    def reason_to_stop(self, entries: Sequence[dict[str, Any]]) -> str | None:
        """Returns the reason to end the run before its last step, if there is one."""
        best, patience = best_epoch(entries), self._plan.patience
        later = [entry for entry in entries[best:] if entry.get("val_error") is not None]
        if patience is None or len(later) < patience:
            return None
        return f"no lower validation error in {len(later)} evaluations after epoch {best}"

    def checkpointed_model(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Describes the model for a checkpoint; its weights are the best ones so far."""
        model = self._trainer.checkpointed_model
        if not self._best or not best_epoch(entries):
            return model
        count = len(self.variables)
        return model | {"values": list(range(count - len(self._best), count))}


def best_epoch(entries: Sequence[dict[str, Any]]) -> int:
    """Returns the first epoch of the lowest validation error, from 1; 0 where there is none."""
    errors = [
        (entry["val_error"], number)
        for number, entry in enumerate(entries, 1)
        if entry.get("val_error") is not None
    ]
    return min(errors)[1] if errors else 0


def check(plan: Plan, *, validated: bool) -> None:
    """Refuses a selection that cannot be made."""
    require(plan.select in ("last", "best"), f"select={plan.select!r}", "be last or best")
    if validated or (plan.select == "last" and plan.patience is None):
        return
    chosen = "select=best" if plan.select == "best" else f"patience={plan.patience}"
    raise UserError(
        f"{chosen} needs the validation error, but there are no validation images: give "
        "--val_fraction=0.1, DIR/val/CLASS/** or, in Python, `validation`"
    )
