"""Says how long a run is, and how often it is logged, evaluated and saved."""

import dataclasses
import numbers
import operator
from collections.abc import Collection, Mapping
from typing import Any

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.suggestions import did_you_mean

# Pictures cost about a second and 200 kB: a short run has fewer, so that they stay far below the
# time of its steps.
MOST_PICTURES, STEPS_PER_PICTURE = 10, 1000


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
            UserError: there is no such option.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        for name in options.keys() - names:
            meant = did_you_mean(name, sorted(names | {*others}))
            raise UserError(f"fit() takes no argument {name!r}{meant}")
        # NumPy's whole numbers, which JSON does not take.
        whole = {
            name: operator.index(value)
            for name, value in options.items()
            if isinstance(value, numbers.Integral) and not isinstance(value, bool)
        }
        return cls(steps, epoch_steps, **{**options, **whole})

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
