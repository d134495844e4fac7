"""Says how long a run is, and how often it is logged, evaluated and saved."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.suggestions import did_you_mean
from tf_metamixup.training.arguments import whole

# Pictures cost about a second and 200 kB: a short run has fewer, so that they stay far below the
# time of its steps.
MOST_PICTURES, STEPS_PER_PICTURE = 10, 1000
# The least of each count, and of those that may be None.
_COUNTS = {"steps": 1, "epoch_steps": 1, "log_every": 1, "evaluate_every": 1, "checkpoint_every": 1}
_OPEN = {"max_steps": 1, "pictures": 0, "patience": 1}


@dataclasses.dataclass(frozen=True)
class Plan:
    """Holds the length of a run; what may change when it resumes is how often and `max_steps`.

    Attributes:
        steps: of the whole run.
        epoch_steps: of an epoch; the last one may be shorter.
        max_steps: stop here and call the run "stopped"; None for `steps`.
        log_every: steps between two log entries.
        evaluate_every, checkpoint_every: epochs; the last epoch always is. A checkpoint is also
            written after a minute without one.
        diagnostics: whether `meta_gradient_cosine` is logged.
        pictures: about how many times they are drawn, and at the end; 0 for never, None for as the
            length allows.
        select: "last" or "best": which weights the run ends with; best by validation error.
        patience: evaluations without a lower validation error that end the run; None for no end.
    """

    steps: int
    epoch_steps: int
    max_steps: int | None = None
    log_every: int = 50
    evaluate_every: int = 1
    checkpoint_every: int = 1
    diagnostics: bool = False
    pictures: int | None = None
    select: str = "last"
    patience: int | None = None

    @classmethod
    def of(
        cls, steps: int, epoch_steps: int, options: Mapping[str, Any], others: Collection[str] = ()
    ) -> "Plan":
        """Makes a plan of options by name; `others` are further names that one may have meant.

        Raises:
            UserError: there is no such option, or a count is none.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        for name in options.keys() - names:
            meant = did_you_mean(name, sorted(names | {*others}))
            raise UserError(f"fit() takes no argument {name!r}{meant}")
        plan = {"steps": steps, "epoch_steps": epoch_steps, **options}
        given = {name for name, value in plan.items() if name in _COUNTS or value is not None}
        for name, least in (_COUNTS | _OPEN).items():
            if name in given:
                plan[name] = whole(name, plan[name], least)
        return cls(**plan)

    @property
    def last_step(self) -> int:
        """Returns the last step of this invocation."""
        return self.steps if self.max_steps is None else min(self.steps, self.max_steps)

    @property
    def drawings(self) -> int:
        """Returns about how many times pictures are drawn."""
        if self.pictures is not None:
            return self.pictures
        return min(MOST_PICTURES, self.steps // STEPS_PER_PICTURE)

    def steps_until_event(self, step: int) -> int:
        """Returns the number of steps from `step` to the next event, such as a log entry."""
        ends = [self.last_step]
        ends += [(step // every + 1) * every for every in (self.epoch_steps, self.log_every)]
        return min(ends) - step
