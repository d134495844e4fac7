"""What is printed at the end of a run: how it ended, where its files are, what to do next."""

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tf_metamixup.core.intervals import wilson
from tf_metamixup.core.plurals import counted
from tf_metamixup.runs.results import reported_error

WORST = 3  # classes that are named


def summary(
    result: Mapping[str, Any],
    run_dir: str | os.PathLike,
    more: Sequence[str] = (),
    *,
    export: str = "trainer.export({!r})",
) -> str:
    """Returns some lines about a run.

    Args:
        result: the content of its `result.json`.
        run_dir: where it lies.
        more: lines that follow what was measured.
        export: the call that exports a run of `Trainer.fit`, given the folder.
    """
    places = _places(result, os.path.expanduser(os.fspath(run_dir)), export)
    lines = [_first(result), *_measured(result), *more, *places]
    if result["status"] == "stopped":
        lines.append("  to resume, run the same command with a larger --max_steps, or without it")
    return "\n".join(lines)


def _first(result: Mapping[str, Any]) -> str:
    part, error = reported_error(result)
    which = "last epoch"
    if result.get("selected", {}).get("weights") == "best":
        which = f"epoch {result['selected']['epoch']}, the best by validation error"
    if (decay := result.get("averaged")) is not None:
        which += f", weights averaged with decay {decay}"
    measured = "not evaluated" if error is None else f"{error:.2f} % ({which})"
    what = "error on unused training images" if part == "unused training" else f"{part} error"
    return f"{result['status']}: {counted(result['steps'], 'step')}, {what} {measured}"


def _measured(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if "stopped_early" in result:
        lines.append(f"  ended early  {result['stopped_early']}")
    if images := result.get("evaluated_images"):
        low, high = (100 * end for end in wilson(reported_error(result)[1] / 100, images))
        lines.append(f"  interval     {low:.2f} to {high:.2f} % (95 %, of {images:,} images)")
    if errors := result.get("class_errors"):
        lines.append(f"  classes      {_worst(errors)}")
    if labels := result.get("labels_used"):
        lines.append(f"  labels used  {labels:,}")
    return lines


def _worst(errors: Mapping[str, float | None]) -> str:
    """Returns the classes with the highest errors, and the mean over all."""
    known = sorted(
        ((error, name) for name, error in errors.items() if error is not None), reverse=True
    )
    worst = ", ".join(f"{name} {error:.2f} %" for error, name in known[:WORST])
    return f"worst: {worst}; mean of all {sum(error for error, _ in known) / len(known):.2f} %"


def _places(result: Mapping[str, Any], run_dir: str, export: str) -> list[str]:
    lines = [f"  result       {run_dir}/result.json"]
    finished, model = result["status"] == "finished", f"{run_dir}/saved_model"
    predict = f"python -m tf_metamixup.predict {shlex.quote(model)} IMAGES"
    if os.path.isdir(f"{run_dir}/tensorboard"):
        lines.append(f"  TensorBoard  tensorboard --logdir {run_dir}/tensorboard")
    if os.path.exists(f"{model}/saved_model.pb"):
        lines += [f"  SavedModel   {model}", f"  predict      {predict}"]
    elif finished and "export" not in result["config"]:  # it is of `Trainer.fit`
        lines.append(f"  predict      {export.format(model)}, then {predict}")
    for precision, check in result.get("litert", {}).items():
        if os.path.exists(file := f"{run_dir}/litert/{precision}.tflite"):
            lines.append(
                f"  LiteRT       {file} (the class of the SavedModel on "
                f"{check['same_class']:.2f} % of {check['images']} images)"
            )
    if finished and reported_error(result)[1] is not None:
        lines.append(f"  report       python -m tf_metamixup.report {shlex.quote(run_dir)}")
    return lines
