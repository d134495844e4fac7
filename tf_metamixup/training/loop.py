"""The host side of training: steps, epochs, signals."""

import contextlib
import dataclasses
import inspect
import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from tf_metamixup.config import selecting
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.signals import Interrupted, Stop, listen
from tf_metamixup.distribution.workers import LostWorkerError, Workers
from tf_metamixup.policies import check_meta_stage
from tf_metamixup.runs.recorder import Recorder, versions
from tf_metamixup.runs.results import reported_error
from tf_metamixup.training.callbacks import Callbacks
from tf_metamixup.training.epoch_end import EpochEnd
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.plan import Plan
from tf_metamixup.training.progress import Interval, ProgressBar, ways_to_shorten
from tf_metamixup.training.run_log import RunLog
from tf_metamixup.training.selection import Selection, check
from tf_metamixup.training.watch import NotFiniteError, Watch

# A signal waits for the end of a call of the graph.
MAX_SECONDS_PER_CALL = 2.0


def fit(
    trainer,
    graphs,
    evaluated,
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
    data_settings: dict[str, Any] | None = None,
    data: Callable[[], str] | None = None,
    callbacks: Sequence[Any] = (),
    shown: bool = True,
    **plan,
) -> dict[str, Any]:
    """Runs or resumes training in `run_dir`; returns the content of `result.json`.

    Args:
        trainer: whose hyper-parameters and evaluation are recorded.
        graphs: the compiled functions of this run.
        evaluated: see `EpochEnd`.
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
        data_settings: what makes two runs the same besides, without `settings`.
        data: gives a checksum that distinguishes data of one name; called at the end.
        callbacks: of Keras; see `training.callbacks`.
        shown: whether the progress is shown.
        **plan: the rest of `Plan`.
    """
    arguments = inspect.signature(getattr(trainer, "fit", fit)).parameters
    plan = Plan.of(steps, epoch_steps, plan, {*arguments, "callbacks", "dataset"} - {"plan"})
    check(plan, validated="val" in evaluated)
    if plan.diagnostics:
        check_meta_stage(trainer.policy, f"diagnostics with policy {trainer.policy}")
    labels_used = labels_used if labels_used is None else int(labels_used)
    callbacks = Callbacks(callbacks, trainer.model, validated="val" in evaluated)
    if settings is None:
        settings = _settings(trainer, plan, dataset) | (data_settings or {})
    workers = trainer.workers
    with contextlib.ExitStack() as stack:
        selection = Selection(trainer, graphs.variables, plan)
        with workers.together():
            recorder = Recorder(workers, selection.variables, run_dir)
            stack.enter_context(recorder.lock())
            facts = {"recorded": recorded or {}, "versions": versions()}
            recorder.write_or_verify_config(settings, facts, splits, contents)
            progress = recorder.restore()
        stop = stack.enter_context(listen())
        same = {"settings": settings | dataclasses.asdict(plan), "splits": splits}
        workers.check_same(**same, contents=contents)
        progress = recorder.share(progress)
        if finished := recorder.finished():
            if progress is not None and progress.state["step"] == finished["steps"]:
                selection.apply(progress.state["history"])
            elif workers.chief:
                _warn_of_other_weights(run_dir, finished["steps"])
            return finished
        config = settings | (recorded or {})
        recorder.open_summaries(config, trainer.class_names)
        watch = Watch(graphs, trainer.class_names, warns=workers.chief)
        log = RunLog(trainer, recorder, watch, selection, config, labels_used, data)
        if progress is not None:
            log.resume(progress)
        epoch_end = EpochEnd(trainer, graphs, evaluated, plan, log)
        first_stage_ends = log.step + graphs.stages.steps_until_change(log.step)
        bar = ProgressBar(
            log.step,
            int(min(plan.last_step, first_stage_ends)),
            plan.steps,
            shown=shown and workers.chief,
            ways=ways_to_shorten(trainer.policy),
        )
        with workers.watched():
            return _Invocation(workers, graphs, plan, log, epoch_end, callbacks, bar).go(stop)


def _warn_of_other_weights(run_dir, steps: int) -> None:
    warnings.warn(
        f"run directory {run_dir} holds the result of step {steps}, but no checkpoint of it: the "
        "model does not have the weights of that result, so do not evaluate or export it",
        stacklevel=3,
    )


def _settings(trainer, plan: Plan, dataset: str | None) -> dict[str, Any]:
    """Returns what makes two runs of a trainer the same, but for the settings of its data."""
    lengths = {"steps": plan.steps, "epoch_steps": plan.epoch_steps}
    select = None if plan.select == "last" else plan.select
    chosen = {"dataset": dataset, "patience": plan.patience, "select": select}
    chosen |= {name: getattr(plan, name) for name in selecting(chosen)}
    defaults = {"evaluate_every": Plan.evaluate_every}
    chosen = {name: value for name, value in chosen.items() if value != defaults.get(name)}
    return {**trainer.hyper_parameters, **lengths, **chosen}


@dataclasses.dataclass
class _Invocation:
    """Represents one invocation of a run."""

    workers: Workers
    graphs: Graphs
    plan: Plan
    log: RunLog
    epoch_end: EpochEnd
    callbacks: Callbacks
    bar: ProgressBar
    whole: bool = True  # whether the variables are those of `log.step`
    reason: str | None = None  # to end before the last step

    def go(self, stop: Stop) -> dict[str, Any]:
        """Trains to the last step of this invocation; returns the result."""
        log, plan = self.log, self.plan
        self.callbacks.train_begin()
        try:
            with self.bar:
                self._train_or_save(stop)
            self.callbacks.train_end()
            if log.step == plan.steps or self.reason:
                return self._finish()
            log.watch.warn_of_stagnation()
            log.save()
            entries, evaluation = log.history.entries, None
            if log.step % plan.epoch_steps:
                extra, evaluation = self.epoch_end.measurements()
                entries = [*entries, log.history.preview(extra)]
            return log.write_result("stopped", entries, evaluation)
        except NotFiniteError as error:
            log.write_result("failed", log.history.entries, error=str(error))
            raise UserError(str(error)) from None

    def _finish(self) -> dict[str, Any]:
        """Chooses the weights that the run ends with, and writes the result."""
        entries = self.log.history.entries
        # A selection may have been made after the last checkpoint.
        self.log.save(again=self.plan.select == "best")
        epoch = self.log.selection.apply(entries)
        more = {"selected": {"weights": self.plan.select, "epoch": epoch}}
        evaluation = None
        if self.reason:
            more["stopped_early"] = self.reason
        if self.reason or epoch != len(entries):
            scores, evaluation = self.epoch_end.evaluate()
            more |= scores
        return self.log.write_result("finished", entries, evaluation, **more)

    def _train_or_save(self, stop: Stop) -> None:
        """Trains; where that is interrupted, saves what is whole."""
        try:
            with self.workers.watched():
                self._train(stop)
        except (Interrupted, LostWorkerError):
            if self.whole:
                self.log.save()
            if stop.signum:
                # The others have heard it too, and some have gone already.
                raise Interrupted(stop.signum) from None
            raise

    def _train(self, stop: Stop) -> None:
        iterator = self.graphs.batches(self.log.step)
        if self.log.step < self.plan.last_step:
            self.graphs.trace(iterator, self.log.step)
        # A worker that stops alone leaves the others waiting: they agree on when.
        with stop.deferred() if self.workers.count > 1 else contextlib.nullcontext():
            self._train_on(iterator, stop)

    def _train_on(self, iterator, stop: Stop) -> None:
        log, plan, graphs = self.log, self.plan, self.graphs
        pace, interval = None, Interval()
        while True:
            if self.epoch_end.is_due():
                entry = self.epoch_end.close(stop, lambda: self._agree(stop))
                self.callbacks.epoch_end(entry)
                evaluated = reported_error(entry)[1] is not None
                self.bar.close_epoch(log.history.entries, evaluated=evaluated)
            if log.step >= plan.last_step or self._ends_early():
                return
            if change := graphs.stages.changes.get(log.step):
                self.bar.tell(f"from step {log.step} on {change}: building its graph, once")
                graphs.trace(iterator, log.step)
                ends = log.step + graphs.stages.steps_until_change(log.step)
                self.bar.estimate_anew(int(min(plan.last_step, ends)) - log.step)
            self.callbacks.epoch_begin(len(log.history.entries))
            with stop.deferred():
                most = 1 if pace is None else max(1, int(MAX_SECONDS_PER_CALL / pace))
                count = min(
                    most,
                    plan.steps_until_event(log.step),
                    graphs.steps_until_audit(log.step),
                    graphs.stages.steps_until_change(log.step),
                )
                count = self._agree(stop, count)
                metrics, rows, seconds = self._call(iterator, count)
                # The first call compiles the graph; its time says nothing of the pace.
                pace, seconds = (math.inf, 0.0) if pace is None else (seconds / count, seconds)
                log.add(count, metrics, rows, seconds)
                self.whole = True
                interval.add(metrics, rows, seconds)
                line = interval.line(len(log.history.entries) + 1)
                self.bar.advance(count, seconds, line, log.history.entries)
                if log.step % plan.log_every == 0:
                    scalars = interval.scalars(log.learning_rate())
                    log.recorder.interval(log.step, scalars, interval.rows())
                    interval = Interval()
                # Comes last, since it raises where a signal came.
                if self._agree(stop, log.is_due):
                    log.save()

    def _ends_early(self) -> bool:
        self.reason = self.log.selection.reason_to_stop(self.log.history.entries)
        self.reason = self.reason or self.callbacks.reason_to_stop(self.workers)
        return self.reason is not None

    def _call(self, iterator, count: int):
        """Takes `count` steps and checks them; returns metrics, mixed rows and seconds."""
        started = time.perf_counter()
        self.whole = False
        metrics, losses, rows = self.graphs.train(iterator, self.log.step, count)
        seconds = time.perf_counter() - started
        self.log.watch.check_steps(self.log.step, losses, rows)
        return metrics, rows, seconds

    def _agree(self, stop: Stop, count: int = 0) -> int:
        """Returns the chief's `count`; where a signal came to any worker, all are interrupted."""
        table = self.workers.exchange([count, stop.signum or 0])
        if signum := int(table[:, 1].max()):
            raise Interrupted(signum)
        return int(table[0, 0])
