"""The host side of training: epochs, progress, logs, checkpoints, the result."""

import contextlib
import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tf_metamixup.core import divergence
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.core.signals import Interrupted, Stop, listen
from tf_metamixup.distribution.workers import LostWorkerError
from tf_metamixup.runs.checkpoints import Progress
from tf_metamixup.runs.history import History
from tf_metamixup.runs.recorder import ChiefRecord, Record, versions
from tf_metamixup.training.diagnostics import Diagnostics
from tf_metamixup.training.progress import Interval, progress_bar

# A signal waits for the end of a call of the graph.
SECONDS_A_CALL = 2.0
# Drawn in a run, of each kind; they cost a second and 200 kB.
PICTURES = 20
# Of an epoch without an evaluation.
UNMEASURED = {"test_error": None, "test_loss": None, "test_ece": None}


@dataclasses.dataclass(frozen=True)
class Plan:
    """How far and how often; all but `steps` and `epoch_steps` may change between two sittings.

    Attributes:
        steps: of the whole run.
        epoch_steps: of an epoch; the last one may be shorter.
        max_steps: stop here and call the run "stopped"; None for `steps`.
        log_every: steps between two log entries.
        evaluate_every, checkpoint_every: epochs; the last epoch always is.
    """

    steps: int
    epoch_steps: int
    max_steps: int | None = None
    log_every: int = 50
    evaluate_every: int = 1
    checkpoint_every: int = 1
    diagnostics: bool = False

    @property
    def last(self) -> int:
        """Where this sitting ends."""
        return self.steps if self.max_steps is None else min(self.steps, self.max_steps)


def fit(
    trainer,
    graphs,
    test,
    run_dir,
    steps: int,
    epoch_steps: int,
    *,
    settings: dict[str, Any] | None = None,
    recorded: dict[str, Any] | None = None,
    splits: dict[str, list] | None = None,
    contents: dict[str, str] | None = None,
    labels_used: int | None = None,
    dataset: str | None = None,
    data: Callable[[], str] | None = None,
    **plan,
) -> dict[str, Any]:
    """Runs or resumes training in `run_dir`; the content of `result.json`.

    Args:
        trainer: whose hyper-parameters and evaluation are recorded.
        graphs: the compiled functions of this run.
        test: finite batches, or None.
        run_dir: the run's folder.
        steps: see `Plan`.
        epoch_steps: see `Plan`.
        settings: what makes two runs the same; the trainer's hyper-parameters by default.
        recorded: further settings for `config.json` and `result.json`.
        splits: which images the streams are made of, for `splits.json`.
        contents: checksums by name of all that they were read from, for `data.json`.
        labels_used: number of labels that the run reads, for the record.
        dataset: what reports call the data, without `settings`; runs on data of two names are
            never taken together.
        data: gives a checksum that tells apart data of one name; called at the end.
        **plan: the rest of `Plan`.
    """
    plan = Plan(steps, epoch_steps, **plan)
    if settings is None:
        settings = {**trainer.hyper_parameters, "steps": steps, "epoch_steps": plan.epoch_steps}
        settings |= {"dataset": dataset} if dataset else {}
    workers = trainer.workers
    with contextlib.ExitStack() as stack:
        with workers.together():
            record = Record(graphs.variables)
            if workers.chief:
                record = ChiefRecord(graphs.variables, run_dir)
            stack.enter_context(record.held())
            facts = {"recorded": recorded or {}, "versions": versions()}
            record.claim(settings, facts, splits, contents)
            progress = record.restore()
        stop = stack.enter_context(listen())
        same = {"settings": settings | dataclasses.asdict(plan), "splits": splits}
        workers.check_same(**same, contents=contents)
        if workers.count > 1:
            packed = workers.from_chief(record.packed(progress.state["step"]) if progress else b"")
            if packed and not workers.chief:
                progress = record.unpack(packed)
        config = settings | (recorded or {})
        run = _Run(trainer, graphs, test, plan, record, progress, config, labels_used, data)
        with workers.watched():
            return run.go(stop)


class _Run:
    """One sitting of a run."""

    def __init__(self, trainer, graphs, test, plan, record, progress, config, labels_used, data):
        self.trainer, self.graphs, self.test = trainer, graphs, test
        self.plan, self.record = plan, record
        self.config, self.labels_used, self.data = config, labels_used, data
        self.workers = trainer.workers
        learns = plan.diagnostics and trainer.policy.reads_meta
        self.diagnostics = Diagnostics(graphs) if learns else None
        self.history = History(trainer.classes)
        self.step = 0
        self.saved = -1
        self.epoch_losses: list[float] = []  # one per step, as far as this process has taken them
        self.warned = False
        self.whole = True  # whether the variables are those of `step`
        self.seconds = self.images = 0.0
        if progress is not None:
            self._go_on_from(progress)

    def go(self, stop: Stop) -> dict[str, Any]:
        result = json.loads(self.workers.from_chief(json.dumps(self.record.finished()).encode()))
        if result:
            return result
        self.record.begin(self.config, self.trainer.class_names)
        try:
            with progress_bar(self.step, self.plan.steps, shown=self.workers.chief) as bar:
                try:
                    with self.workers.watched():
                        self._train(stop, bar)
                except (Interrupted, LostWorkerError):
                    if self.whole:
                        self._save()
                    if stop.signum:
                        # The others have heard it too, and some have gone already.
                        raise Interrupted(stop.signum) from None
                    raise
            if self.step == self.plan.steps:
                return self._write_result("finished", self.history.entries)
            self._warn_of_stagnation()
            self._save()
            entries, evaluation = self.history.entries, None
            if self.step % self.plan.epoch_steps:
                extra, evaluation = self._epoch_extra(evaluate=True)
                entries = [*entries, self.history.preview(extra)]
            return self._write_result("stopped", entries, evaluation)
        except _NotFiniteError as error:
            self._write_result("failed", self.history.entries, error=str(error))
            raise UserError(str(error)) from None

    def _train(self, stop: Stop, bar) -> None:
        iterator = self.graphs.batches(self.step)
        if self.step < self.plan.last:
            self.graphs.trace(iterator)
        # A worker that stops alone leaves the others waiting: they agree on when.
        with stop.deferred() if self.workers.count > 1 else contextlib.nullcontext():
            self._train_on(iterator, stop, bar)

    def _train_on(self, iterator, stop: Stop, bar) -> None:
        pace = None
        logged = Interval()
        while True:
            if self._at_epoch_end():
                self._close_epoch(stop)
                bar.refresh()
            if self.step >= self.plan.last:
                return
            with stop.deferred():
                count = self._agree(stop, self._steps_of_next_call(pace))
                started = time.perf_counter()
                self.whole = False
                metrics, losses, rows = self.graphs.train(iterator, self.step, count)
                seconds = time.perf_counter() - started
                self._check(losses, rows)
                self.epoch_losses += losses.tolist()
                self.history.open.add(metrics, rows)
                self.step += count
                self.whole = True
                if pace is None:
                    # The first call compiles the graph; its time says nothing of the pace.
                    pace, seconds = math.inf, 0.0
                else:
                    pace = seconds / count
                    self.seconds += seconds
                    self.images += len(rows)
                logged.add(metrics, rows, seconds)
                bar.update(count)
                bar.set_postfix_str(logged.line(self.history), refresh=False)
                if self.step % self.plan.log_every == 0:
                    self.record.interval(
                        self.step, logged.scalars(self._learning_rate()), logged.rows()
                    )
                    logged = Interval()

    def _agree(self, stop: Stop, count: int = 0) -> int:
        """The chief's `count`; where a signal has come to any worker, all are interrupted."""
        table = self.workers.exchange([count, stop.signum or 0])
        if signum := int(table[:, 1].max()):
            raise Interrupted(signum)
        return int(table[0, 0])

    def _steps_of_next_call(self, pace: float | None) -> int:
        ends = (
            self.plan.last,
            (self.step // self.plan.epoch_steps + 1) * self.plan.epoch_steps,
            (self.step // self.plan.log_every + 1) * self.plan.log_every,
            *(step for step in self.graphs.audit_steps if step > self.step),
        )
        most = 1 if pace is None else max(1, int(SECONDS_A_CALL / pace))
        return min(most, min(ends) - self.step)

    def _at_epoch_end(self) -> bool:
        closed = len(self.history.entries)
        end = min((closed + 1) * self.plan.epoch_steps, self.plan.steps)
        return self.step == end and closed * self.plan.epoch_steps < self.plan.steps

    def _close_epoch(self, stop: Stop) -> None:
        number = len(self.history.entries) + 1
        ends = self.step >= self.plan.last
        self._warn_of_stagnation()
        evaluate = ends or number % self.plan.evaluate_every == 0
        due = ends or number % self.plan.checkpoint_every == 0
        if due:
            # The epoch is still open in it, so that a resumed run makes the evaluation.
            with stop.deferred():
                self._save()
        try:
            extra, evaluation = self._epoch_extra(
                evaluate=evaluate, between=lambda: self._agree(stop)
            )
        except _NotFiniteError:
            raise
        except Exception:
            self._save()
            raise
        with stop.deferred():
            entry = self.history.close(extra, evaluation)
            self.record.epoch(self.step, entry)
            if ends or (evaluate and self._worth_a_picture(number)):
                sample = self.graphs.sample()
                self.record.pictures(self.step, self.history.last_pairs, evaluation, sample)
            if due:
                self._write_counts()

    def _worth_a_picture(self, number: int) -> bool:
        """Whether evaluated epoch `number` is one of about `PICTURES`, evenly over the run."""
        epochs = -(-self.plan.steps // self.plan.epoch_steps)
        before = max(0, number - self.plan.evaluate_every)
        return number * PICTURES // epochs > before * PICTURES // epochs

    def _epoch_extra(
        self, *, evaluate: bool, between=None
    ) -> tuple[dict[str, float | None], Evaluation | None]:
        extra: dict[str, float | None] = {"learning_rate": self._learning_rate()}
        extra |= UNMEASURED
        evaluation = None
        if evaluate:
            if self.test is not None:
                evaluation = self.trainer.measure(self.test, between)
                if not math.isfinite(evaluation.loss):
                    self._diverged(f"the test loss is {evaluation.loss} after step {self.step}")
                extra |= {f"test_{name}": value for name, value in evaluation.scores.items()}
            if self.diagnostics is not None:
                extra["meta_gradient_cosine"] = self.diagnostics.agreement(self.step - 1)
        return extra, evaluation

    def _learning_rate(self) -> float:
        return float(self.trainer.learning_rate(self.step - 1))

    def _check(self, losses: np.ndarray, rows: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            self._diverged(f"the loss is {losses[bad[0]]} at step {self.step + bad[0] + 1}")
        if not np.isfinite(rows).all():
            self._diverged(f"lambda is not finite at step {self.step + len(losses)}")

        if not self.graphs.is_finite():
            # The loss of a step is that of the weights before it.
            self._diverged(f"the weights are not finite after step {self.step + len(losses)}")

    def _warn_of_stagnation(self) -> None:
        """Warns once; epochs of few steps are looked at together."""
        losses = self.epoch_losses
        if len(losses) < divergence.FEWEST_STEPS:
            return
        # The median, since the loss may have been anything on the way to where it stays.
        loss = float(np.median(losses))
        problem = divergence.stagnation(loss, len(losses), self.trainer.classes)
        if problem and not self.warned and self.workers.chief:
            advice = divergence.advice(*self.graphs.image_range())
            warnings.warn(f"{problem}. {advice}", stacklevel=2)
            self.warned = True
        self.epoch_losses = []

    def _diverged(self, what: str) -> NoReturn:
        kept = (
            f"the checkpoint of step {self.saved} is kept"
            if self.saved >= 0
            else "there is no checkpoint yet"
        )
        raise _NotFiniteError(f"{what}; {kept}. {divergence.advice(*self.graphs.image_range())}")

    def _save(self) -> None:
        if self.saved != self.step:
            if not self.graphs.is_finite():
                self._diverged(f"the weights are not finite after step {self.step}")
            state = {
                "history": self.history.entries,
                "seconds": self.seconds,
                "images": self.images,
                "model": self.trainer.checkpointed_model,
            }
            self.record.checkpoint(self.step, Progress(state, self.history.arrays()))
            self.saved = self.step
        self._write_counts()

    def _write_counts(
        self, evaluation: Evaluation | None = None, *, with_open: bool = False
    ) -> None:
        """Writes the lambdas and an evaluation, by default that of the last closed epoch."""
        self.record.lambdas(self.history.lambdas(with_open=with_open))
        evaluation = evaluation or self.history.evaluation
        if evaluation is not None:
            self.record.evaluation(evaluation._asdict())

    def _go_on_from(self, progress: Progress) -> None:
        state = progress.state
        self.step = self.saved = state["step"]
        self.seconds, self.images = state["seconds"], state["images"]
        self.history = History.from_arrays(self.trainer.classes, state["history"], progress.arrays)

    def _write_result(
        self, status: str, entries: list[dict], evaluation: Evaluation | None = None, **more
    ) -> dict[str, Any]:
        """The result; `evaluation` where that of the last closed epoch is not the last one."""
        last = entries[-1] if entries else UNMEASURED
        result = {
            "status": status,
            **{k: v for k, v in last.items() if k.startswith("test_")},
            "epochs": len(self.history.entries),
            "steps": self.step,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images / self.seconds, 1) if self.seconds else None,
            "labels_used": self.labels_used,
            "data": self.data() if self.data and status != "failed" else None,
            "parameters": self.trainer.parameters,
            "method": self.config["method"],
            "policy": self.config["policy"],
            "config": self.config,
            "history": entries,
            **more,
        }
        unfinished = len(entries) > len(self.history.entries)
        self._write_counts(evaluation, with_open=unfinished)
        self.record.result(result)
        return result


class _NotFiniteError(Exception):
    """The loss or lambda became NaN or infinite."""
