"""The host side of training: steps, epochs, signals."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.signals import Interrupted, Stop, listen
from tf_metamixup.distribution.workers import LostWorkerError
from tf_metamixup.runs.recorder import Recorder, versions
from tf_metamixup.training.epoch_end import EpochEnd
from tf_metamixup.training.plan import Plan
from tf_metamixup.training.progress import Interval, progress_bar
from tf_metamixup.training.run_log import RunLog
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
    data: Callable[[], str] | None = None,
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
        data: gives a checksum that distinguishes data of one name; called at the end.
        **plan: the rest of `Plan`.
    """
    plan = Plan(steps, epoch_steps, **plan)
    if settings is None:
        settings = {**trainer.hyper_parameters, "steps": steps, "epoch_steps": epoch_steps}
        settings |= {"dataset": dataset} if dataset else {}
    workers = trainer.workers
    with contextlib.ExitStack() as stack:
        with workers.together():
            recorder = Recorder(workers, graphs.variables, run_dir)
            stack.enter_context(recorder.lock())
            facts = {"recorded": recorded or {}, "versions": versions()}
            recorder.write_or_verify_config(settings, facts, splits, contents)
            progress = recorder.restore()
        stop = stack.enter_context(listen())
        same = {"settings": settings | dataclasses.asdict(plan), "splits": splits}
        workers.check_same(**same, contents=contents)
        progress = recorder.share(progress)
        if finished := recorder.finished():
            return finished
        config = settings | (recorded or {})
        recorder.open_summaries(config, trainer.class_names)
        watch = Watch(graphs, trainer.classes, warns=workers.chief)
        log = RunLog(trainer, recorder, watch, config, labels_used, data)
        if progress is not None:
            log.resume(progress)
        epoch_end = EpochEnd(trainer, graphs, evaluated, plan, recorder, log, watch)
        with workers.watched():
            return _Run(workers, graphs, plan, recorder, log, watch, epoch_end).go(stop)


class _Run:
    """Represents one invocation of a run."""

    def __init__(self, workers, graphs, plan, recorder, log, watch, epoch_end):
        self._workers, self._graphs, self._plan = workers, graphs, plan
        self._recorder, self._log, self._watch = recorder, log, watch
        self._epoch_end = epoch_end
        self._whole = True  # whether the variables are those of `log.step`

    def go(self, stop: Stop) -> dict[str, Any]:
        """Trains to the last step of this invocation; returns the result."""
        log, plan = self._log, self._plan
        try:
            with progress_bar(log.step, plan.steps, shown=self._workers.chief) as bar:
                self._train_or_save(stop, bar)
            if log.step == plan.steps:
                return log.write_result("finished", log.history.entries)
            self._watch.warn_of_stagnation()
            log.save()
            entries, evaluation = log.history.entries, None
            if log.step % plan.epoch_steps:
                extra, evaluation = self._epoch_end.measure()
                entries = [*entries, log.history.preview(extra)]
            return log.write_result("stopped", entries, evaluation)
        except NotFiniteError as error:
            log.write_result("failed", log.history.entries, error=str(error))
            raise UserError(str(error)) from None

    def _train_or_save(self, stop: Stop, bar) -> None:
        """Trains; where that is interrupted, saves what is whole."""
        try:
            with self._workers.watched():
                self._train(stop, bar)
        except (Interrupted, LostWorkerError):
            if self._whole:
                self._log.save()
            if stop.signum:
                # The others have heard it too, and some have gone already.
                raise Interrupted(stop.signum) from None
            raise

    def _train(self, stop: Stop, bar) -> None:
        iterator = self._graphs.batches(self._log.step)
        if self._log.step < self._plan.last_step:
            self._graphs.trace(iterator, self._log.step)
        # A worker that stops alone leaves the others waiting: they agree on when.
        with stop.deferred() if self._workers.count > 1 else contextlib.nullcontext():
            self._train_on(iterator, stop, bar)

    def _train_on(self, iterator, stop: Stop, bar) -> None:
        log, plan = self._log, self._plan
        pace, interval = None, Interval()
        while True:
            if self._epoch_end.is_due():
                self._epoch_end.close(stop, lambda: self._agree(stop))
                bar.refresh()
            if log.step >= plan.last_step:
                return
            if log.step == self._graphs.stages.switch:
                if self._workers.chief:
                    bar.write(f"from step {log.step} on the body trains too: tracing it, once")
                self._graphs.trace(iterator, log.step)
            with stop.deferred():
                most = 1 if pace is None else max(1, int(MAX_SECONDS_PER_CALL / pace))
                ends = plan.steps_until_event(log.step), *self._graphs_allow(log.step)
                count = self._agree(stop, min(most, *ends))
                metrics, rows, seconds = self._call(iterator, count)
                # The first call compiles the graph; its time says nothing of the pace.
                pace, seconds = (math.inf, 0.0) if pace is None else (seconds / count, seconds)
                log.add(count, metrics, rows, seconds)
                self._whole = True
                interval.add(metrics, rows, seconds)
                bar.update(count)
                bar.set_postfix_str(interval.line(log.history), refresh=False)
                if log.step % plan.log_every == 0:
                    scalars = interval.scalars(log.learning_rate())
                    self._recorder.interval(log.step, scalars, interval.rows())
                    interval = Interval()

    def _graphs_allow(self, step: int) -> tuple[float, float]:
        graphs = self._graphs
        return graphs.steps_until_audit(step), graphs.stages.steps_until_switch(step)

    def _call(self, iterator, count: int):
        """Takes `count` steps and checks them; returns metrics, mixed rows and seconds."""
        started = time.perf_counter()
        self._whole = False
        metrics, losses, rows = self._graphs.train(iterator, self._log.step, count)
        seconds = time.perf_counter() - started
        self._watch.check_steps(self._log.step, losses, rows)
        return metrics, rows, seconds

    def _agree(self, stop: Stop, count: int = 0) -> int:
        """Returns the chief's `count`; where a signal came to any worker, all are interrupted."""
        table = self._workers.exchange([count, stop.signum or 0])
        if signum := int(table[:, 1].max()):
            raise Interrupted(signum)
        return int(table[0, 0])
