"""Watches a run: stops it where it has diverged, and warns where it does not learn."""

import math
import warnings
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from tf_metamixup.core import divergence
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.runs.history import LAM
from tf_metamixup.training.graphs import Graphs

# How far rounding may take a lambda out of [0, 1].
ROUNDING = 1e-5


class NotFiniteError(Exception):
    """Says that a loss, a lambda or a weight became NaN or infinite."""


class Watch:
    """Watches the losses and weights of one run; one worker of a job `warns`.

    Attributes:
        saved: the step of the newest checkpoint, for messages; -1 before the first.
    """

    def __init__(self, graphs: Graphs, class_names: Sequence[str], *, warns: bool):
        self._graphs, self._class_names, self._warns = graphs, class_names, warns
        self._losses: list[float] = []  # one per step, as far as this process has taken them
        self.saved = -1

    def check_steps(self, step: int, losses: np.ndarray, rows: np.ndarray) -> None:
        """Checks the steps after `step`: their losses, their mixed rows and the weights.

        Raises:
            NotFiniteError: with what is not finite, what is kept and what to change.
            UserError: a policy's lambda is not in [0, 1].
        """
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            self._fail(f"the loss is {losses[bad[0]]} at step {step + bad[0] + 1}")
        if not np.isfinite(rows).all():
            self._fail(f"lambda is not finite at step {step + len(losses)}")
        outside = rows[abs(rows[:, LAM] - 0.5) > 0.5 + ROUNDING, LAM]
        if len(outside):
            policy = self._graphs.recipe.policy
            raise UserError(f"a lambda of policy {policy} is {outside[0]:g}; it must lie in [0, 1]")
        # The loss of a step is that of the weights before it.
        self.check_weights(step + len(losses))
        self._losses += losses.tolist()

    def check_weights(self, step: int) -> None:
        """Checks the weights after `step`; see `check_steps`."""
        if not self._graphs.is_finite():
            self._fail(f"the weights are not finite after step {step}")

    def check_evaluation(self, name: str, evaluation: Evaluation, step: int) -> None:
        """Checks the loss of an evaluation after `step`; see `check_steps`.

        Warns once where all images are taken for one class, unless few steps were taken.
        """
        if not math.isfinite(evaluation.loss):
            self._fail(f"the {name} loss is {evaluation.loss} after step {step}")
        only = evaluation.only_answer
        if only is not None and step >= divergence.FEWEST_STEPS:
            self._warn(divergence.collapse(name, self._class_names[only], step))

    def warn_of_stagnation(self) -> None:
        """Warns once; epochs of few steps are looked at together."""
        if len(self._losses) < divergence.FEWEST_STEPS:
            return
        problem = divergence.stagnation(self._losses, len(self._class_names))
        if problem:
            self._warn(problem)
        self._losses = []

    def _warn(self, problem: str) -> None:
        if self._warns:
            warnings.warn(f"{problem}. {self._advice()}", stacklevel=3)
            self._warns = False

    def _fail(self, what: str) -> NoReturn:
        kept = (
            f"the checkpoint of step {self.saved} is kept"
            if self.saved >= 0
            else "there is no checkpoint yet"
        )
        raise NotFiniteError(f"{what}; {kept}. {self._advice()}")

    def _advice(self) -> str:
        """Says what to change; reads a batch of the images."""
        return divergence.advice(*self._graphs.image_range())
