"""Fine-tuning in two stages: the body keeps its weights until a fraction of the run is over."""

from tf_metamixup.training.step import Recipe


class Stages:
    """Says which weights train at which step.

    Args:
        recipe: of steps in which all weights train.
        first_trained: indices of the weights that train from the start.
        unfreeze_at: the fraction of the run after which all train; None where they always do.
        steps: of the whole run.

    Attributes:
        switch: the first step in which all weights train; None where that never changes.
    """

    def __init__(self, recipe: Recipe, first_trained, unfreeze_at: float | None, steps: int):
        self.switch = None if unfreeze_at is None else max(1, round(unfreeze_at * steps))
        self._recipes = {True: recipe, False: recipe._replace(trained=first_trained)}

    def all_train(self, step: int) -> bool:
        """Returns whether all weights train at `step`."""
        return self.switch is None or step >= self.switch

    def recipe(self, all_train: bool) -> Recipe:
        """Returns the recipe of one stage."""
        return self._recipes[all_train]

    def steps_until_switch(self, step: int) -> float:
        """Returns the number of steps from `step` to the switch."""
        return float("inf") if self.all_train(step) else self.switch - step
