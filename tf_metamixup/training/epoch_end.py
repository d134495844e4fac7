"""Does what is done at the end of an epoch: evaluation, pictures, checkpoint."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.core.signals import Stop
from tf_metamixup.runs.recorder import Recorder
from tf_metamixup.training.diagnostics import Diagnostics
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.plan import Plan
from tf_metamixup.training.run_log import UNMEASURED, RunLog
from tf_metamixup.training.watch import NotFiniteError, Watch

# Drawn in a run, of each kind; they cost a second and 200 kB.
PICTURES = 20


class EpochEnd:
    """Closes the epochs of one run.

    Args:
        trainer: whose run it is.
        graphs: of the run.
        evaluated: finite batches by their prefix in the history: "val", "test"; the last of them
            has its confusion matrix drawn.
        plan: of the run.
        recorder: writes TensorBoard's events.
        log: how far the run has come.
        watch: checks the evaluations.
    """

    def __init__(
        self,
        trainer,
        graphs: Graphs,
        evaluated: Mapping[str, Iterable],
        plan: Plan,
        recorder: Recorder,
        log: RunLog,
        watch: Watch,
    ):
        self._trainer, self._graphs, self._plan = trainer, graphs, plan
        self._evaluated = evaluated
        self._recorder, self._log, self._watch = recorder, log, watch
        learned = plan.diagnostics and trainer.policy.reads_meta
        self._diagnostics = Diagnostics(graphs) if learned else None

    def is_due(self) -> bool:
        """Returns whether an epoch ends at the step that the run has come to."""
        closed, plan = len(self._log.history.entries), self._plan
        end = min((closed + 1) * plan.epoch_steps, plan.steps)
        return self._log.step == end and closed * plan.epoch_steps < plan.steps

    def close(self, stop: Stop, between: Callable[[], Any]) -> None:
        """Closes the open epoch; `between` is called before each batch of an evaluation."""
        log, plan = self._log, self._plan
        number = len(log.history.entries) + 1
        ends = log.step >= plan.last_step
        evaluate = ends or number % plan.evaluate_every == 0
        save = ends or number % plan.checkpoint_every == 0
        self._watch.warn_of_stagnation()
        if save:
            # The epoch is still open in it, so that a resumed run makes the evaluation.
            with stop.deferred():
                log.save()
        try:
            extra, evaluation = self.measure(between, evaluate=evaluate)
        except NotFiniteError:
            raise
        except Exception:
            log.save()
            raise
        with stop.deferred():
            entry = log.history.close(extra, evaluation)
            self._recorder.epoch(log.step, entry)
            if ends or (evaluate and self._is_drawn(number)):
                sample = self._graphs.mixed.predicted()
                self._recorder.pictures(log.step, log.history.last_pairs, evaluation, sample)
            if save:
                log.write_counts()

    def measure(
        self, between: Callable[[], Any] | None = None, *, evaluate: bool = True
    ) -> tuple[dict[str, float | None], Evaluation | None]:
        """Returns what an entry of the history has beside what is counted, and the evaluation."""
        step = self._log.step
        extra: dict[str, float | None] = {"learning_rate": self._log.learning_rate(), **UNMEASURED}
        evaluation = None
        if "val" in self._evaluated:
            extra |= {name.replace("test", "val"): None for name in UNMEASURED}
        for part, batches in self._evaluated.items() if evaluate else ():
            evaluation = self._trainer.measure(batches, between)
            self._watch.check_evaluation(part, evaluation.loss, step)
            extra |= {f"{part}_{name}": value for name, value in evaluation.scores.items()}
        if evaluate and self._diagnostics is not None:
            extra["meta_gradient_cosine"] = self._diagnostics.agreement(step - 1)
        return extra, evaluation

    def _is_drawn(self, number: int) -> bool:
        """Returns whether evaluated epoch `number` is one of about `PICTURES`, evenly spread."""
        epochs = -(-self._plan.steps // self._plan.epoch_steps)
        before = max(0, number - self._plan.evaluate_every)
        return number * PICTURES // epochs > before * PICTURES // epochs
