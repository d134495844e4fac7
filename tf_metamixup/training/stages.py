"""The stages of a run, each of which has a graph: what trains, and whether lambda is learned."""

import math

from tf_metamixup import policies
from tf_metamixup.core.schedules import steps_before
from tf_metamixup.training.step import Recipe


class Stages:
    """Says what changes in the course of a run.

    Args:
        recipe: of steps in which all weights train and lambda is learned.
        first_trained: indices of the weights that train from the start.
        unfreeze_at: the fraction of the run after which all train; None where they always do.
        steps: of the whole run.

    Attributes:
        changes: what begins, by the first step of each stage but the first.
    """

    def __init__(self, recipe: Recipe, first_trained, unfreeze_at: float | None, steps: int):
        self._recipe, self._first_trained = recipe, first_trained
        self._unfreezes, self._stops = 0, math.inf
        self.changes: dict[int, str] = {}
        if unfreeze_at is not None:
            self._unfreezes = max(1, round(unfreeze_at * steps))
            self.changes[self._unfreezes] = "the body trains too"
        if recipe.mix_until < 1 and recipe.policy.reads_meta:
            self._stops = steps_before(recipe.mix_until, steps)
            begins = "lambda is 1, so the meta stage is left out"
            if self._stops == self._unfreezes:
                begins = f"{self.changes[self._stops]}, and {begins}"
            self.changes[self._stops] = begins

    def at(self, step: int) -> int:
        """Returns the first step of the stage of `step`, which names the stage."""
        return max((first for first in self.changes if first <= step), default=0)

    def recipe(self, stage: int) -> Recipe:
        """Returns the recipe of a stage."""
        recipe = self._recipe
        if stage < self._unfreezes:
            recipe = recipe._replace(trained=self._first_trained)
        if not self.reads_meta(stage):
            recipe = recipe._replace(policy=policies.make("none"))
        return recipe

    def reads_meta(self, stage: int) -> bool:
        """Returns whether a policy that learns lambda still does so."""
        return stage < self._stops

    def steps_until_change(self, step: int) -> float:
        """Returns the number of steps from `step` to the next stage."""
        return min((first - step for first in self.changes if first > step), default=math.inf)
