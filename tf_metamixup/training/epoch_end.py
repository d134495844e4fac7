"""Does what is done at the end of an epoch: evaluation, pictures, checkpoint."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.core.signals import Stop
from tf_metamixup.training.diagnostics import Diagnostics
from tf_metamixup.training.evaluation import DATA_NAMES
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.plan import Plan
from tf_metamixup.training.run_log import UNMEASURED, RunLog
from tf_metamixup.training.watch import NotFiniteError


@dataclasses.dataclass
class EpochEnd:
    """Closes the epochs of one run."""

    trainer: Any
    graphs: Graphs
    evaluated: Mapping[str, Iterable]  # batches by prefix in the history; the last is drawn
    plan: Plan
    log: RunLog

    def __post_init__(self):
        learned = self.plan.diagnostics and self.trainer.policy.reads_meta
        self._diagnostics = Diagnostics(self.graphs) if learned else None

    def is_due(self) -> bool:
        """Returns whether an epoch ends at the step that the run has come to."""
        closed, plan = len(self.log.history.entries), self.plan
        end = min((closed + 1) * plan.epoch_steps, plan.steps)
        return self.log.step == end and closed * plan.epoch_steps < plan.steps

    def close(self, stop: Stop, between: Callable[[], Any]) -> dict[str, Any]:
        """Closes the open epoch and returns its entry in the history.

        Args:
            stop: deferred while something is written.
            between: called before each batch of an evaluation.
        """
        log, plan = self.log, self.plan
        number = len(log.history.entries) + 1
        ends = log.step >= plan.last_step
        evaluate = ends or number % plan.evaluate_every == 0
        save = ends or number % plan.checkpoint_every == 0
        log.watch.warn_of_stagnation()
        if save:
            # The epoch is still open in it, so that a resumed run makes the evaluation.
            with stop.deferred():
                log.save()
        try:
            extra, evaluation = self.measurements(between, evaluate=evaluate)
        except NotFiniteError:
            raise
        except Exception:
            log.save()
            raise
        with stop.deferred():
            entry = log.history.close(extra, evaluation)
            log.selection.observe(log.history.entries)
            log.recorder.epoch(log.step, entry)
            if plan.pictures != 0 and (ends or (evaluate and self._is_drawn(number))):
                sample = self.trainer.evaluator.mixed(self.graphs.sample)
                log.recorder.pictures(log.step, log.history.last_pairs, evaluation, sample)
            if save:
                log.write_counts()
        return entry

    def measurements(
        self, between: Callable[[], Any] | None = None, *, evaluate: bool = True
    ) -> tuple[dict[str, float | None], Evaluation | None]:
        """Returns the part of an entry of the history that is not counted, and the evaluation."""
        extra: dict[str, float | None] = {"learning_rate": self.log.learning_rate(), **UNMEASURED}
        if "val" in self.evaluated:
            extra |= {name.replace("test", "val"): None for name in UNMEASURED}
        if not evaluate:
            return extra, None
        scores, evaluation = self.evaluate(between)
        if self._diagnostics is not None:
            extra["meta_gradient_cosine"] = self._diagnostics.agreement(self.log.step - 1)
        return extra | scores, evaluation

    def evaluate(
        self, between: Callable[[], Any] | None = None
    ) -> tuple[dict[str, float], Evaluation | None]:
        """Returns all scores of the current weights, and the last evaluation."""
        scores, evaluation = {}, None
        for part, batches in self.evaluated.items():
            evaluation = self.trainer.measure(batches, between, DATA_NAMES[part])
            self.log.watch.check_evaluation(part, evaluation, self.log.step)
            scores |= {f"{part}_{name}": value for name, value in evaluation.scores.items()}
        return scores, evaluation

    def _is_drawn(self, number: int) -> bool:
        """Returns whether pictures are drawn after evaluated epoch `number`: evenly spread."""
        plan = self.plan
        epochs = -(-plan.steps // plan.epoch_steps)
        before = max(0, number - plan.evaluate_every)
        return number * plan.drawings // epochs > before * plan.drawings // epochs
