"""Model cards: what is known of an exported network, in Markdown, for whoever finds it.

A card tells what was set and what was measured, from the records of the run, and nothing else.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_metamixup.core.markdown import table
from tf_metamixup.core.metrics import BINS, Evaluation
from tf_metamixup.runs import results
from tf_metamixup.runs.directory import RunDirectory, read_arrays

# Settings that stand on a card, where a run has them; the command tells the others.
SHOWN = (
    *("mode", "method", "policy", "architecture", "epochs", "steps", "batch_size", "optimizer"),
    *("learning_rate", "schedule", "momentum", "weight_decay", "meta_source", "initial_weights"),
    "seed",
)
CONFUSIONS = 5


class Records(NamedTuple):
    """Holds the records of the run that made some weights."""

    result: dict[str, Any]  # of `result.json`
    versions: dict[str, str]  # of `config.json`: what it was trained with
    # Of `splits.json`; None for data that were given as they are.
    splits: dict[str, list] | None = None
    evaluation: Evaluation | None = None  # the last one; None where nothing was evaluated

    @property
    def selected(self) -> int | None:
        """Returns the epoch of the weights, where they were selected by the validation error."""
        selected = self.result.get("selected", {})
        return selected["epoch"] if selected.get("weights") == "best" else None

    @property
    def part(self) -> str:
        """Returns which images are evaluated; see `results.reported_error`."""
        return results.reported_error(self.result)[0]


def read_records(run_dir: str | os.PathLike) -> Records | None:
    """Reads the records that lie in a run directory; None if it has no result."""
    folder = RunDirectory(run_dir)
    result = folder.read("result.json")
    if result is None:
        return None
    evaluation = read_arrays(folder.path / "evaluation.npz")
    return Records(
        result,
        (folder.read("config.json") or {}).get("versions", {}),
        folder.read("splits.json"),
        Evaluation(**evaluation)
        if evaluation and results.reported_error(result)[1] is not None
        else None,
    )


def markdown(
    settings: dict[str, Any],
    *,
    classes: Sequence[str],
    image: str,
    parameters: int,
    averaged: float | None,
    run: Records | None = None,
    command: str | None = None,
    litert: dict[str, dict[str, Any]] | None = None,
) -> str:
    """Formats the card of a network.

    Args:
        settings: that it was trained with; those of the run, where there is one.
        classes: their names.
        image: type and shape of the input.
        parameters: how many are trained.
        averaged: decay of the average that the weights are; None where they are those of a step.
        run: that made the weights, or None if it is not known.
        command: repeats the run.
        litert: what `litert.check` found, by precision, on the card of LiteRT models.
    """
    settings = settings | (run.result["config"] if run else {})
    title = settings.get("architecture", "Image classifier")
    if "dataset" in settings:
        title += f", trained on {settings['dataset']}"
    weights = "those of the last step"
    if run and run.selected:
        measured = sum(each.get("val_error") is not None for each in run.result["history"])
        weights = (
            f"those of epoch {run.selected}, which had the lowest validation error of the "
            f"{measured} that were evaluated"
        )
    if averaged is not None:
        weights += f", each an exponential average over the steps before (decay {averaged})"
    parts = [
        f"# {_plain(title)}",
        f"An image classifier of {len(classes)} classes, trained with "
        "[MetaMixUp](https://arxiv.org/abs/1908.10059)'s implementation tf_metamixup: method "
        f"`{settings['method']}`, policy `{settings['policy']}`. Its weights are {weights}.",
        "## What it was trained with",
        table(("", ""), _trained_with(settings, parameters, run)),
        *_measured(run, classes),
        *(_litert(litert) if litert else ()),
        "## Input and output",
        f"Signature `serving_default`: `image`, {image}, as the data set stores images (scaling is "
        "inside) -> `logits` and `probabilities`, float32 [N, classes], and `class_id`, int64 [N]. "
        f"Class names: {_names(classes)}.",
        *(("## To repeat it", f"```bash\n{command}\n```") if command else ()),
        *_versions(run),
        "## Use",
        "It is for images like those it was trained on. Only what is reported here was measured: "
        "not other data, not how much another seed changes, not differences between groups of "
        "people, not robustness. Neither the licence of the data nor one for these weights is "
        "recorded; tf_metamixup is under Apache 2.0.",
    ]
    return "\n\n".join(parts) + "\n"


def _trained_with(settings, parameters, run) -> list[tuple[str, str]]:
    unused = {"momentum"} if settings.get("optimizer") == "adam" else set()
    shown = [name for name in SHOWN if name not in unused and settings.get(name) is not None]
    rows = [(name.replace("_", " "), f"`{settings[name]}`") for name in shown]
    rows.append(("trained parameters", f"{parameters:,}"))
    if run is None:
        return rows
    if run.splits:
        named = (("labelled", "labelled training"), ("unlabelled", "unlabelled"), ("meta", "meta"))
        rows += [(f"{words} images", f"{len(run.splits[name]):,}") for name, words in named]
    if run.result["labels_used"] is not None:
        note = "of labelled images, and of meta images where the policy reads them"
        rows.append(("labels used", f"{run.result['labels_used']:,} ({note})"))
    rows.append(("steps taken", f"{run.result['steps']:,} ({run.result['status']})"))
    return rows


def _measured(run: Records | None, classes: Sequence[str]) -> list[str]:
    if run is None or run.evaluation is None:
        return ["## Test", "No evaluation of these weights is recorded."]
    evaluation = run.evaluation
    rows = [(f"{run.part} error", f"{evaluation.error:.2f} %")]
    rows.append(("mean of the classes' errors", f"{evaluation.error_macro:.2f} %"))
    if "error_top5" in evaluation.scores:
        rows.append(("top-5 error", f"{evaluation.error_top5:.2f} %"))
    rows += [
        ("mean cross-entropy", f"{evaluation.loss:.4f}"),
        ("expected calibration error", f"{evaluation.ece:.2f} %"),
    ]
    return [
        f"## {run.part.capitalize()}",
        f"{_when(run)}, on {evaluation.images:,} {run.part} images:",
        table(("measure", "value"), rows),
        "## Calibration",
        f"Confidence is the probability of the predicted class, in {BINS} equal bins (Guo et al. "
        "2017). Where it is calibrated, accuracy equals mean confidence.",
        table(("confidence", "images", "mean confidence", "accuracy"), _bins(evaluation)),
        "## Most frequent confusions",
        *_confusions(evaluation, classes, run.part),
    ]


def _when(run: Records) -> str:
    if run.selected is None:
        return "At the end of training, never at its best"
    if run.part != "validation":
        return "With weights selected by validation error"
    return "With weights selected on these very images, so that the error is too low"


def _bins(evaluation: Evaluation) -> Iterable[tuple[str, ...]]:
    for number, (images, confidence, right) in enumerate(evaluation.bins):
        if images:
            yield (
                f"{number / BINS:.2f} to {(number + 1) / BINS:.2f}",
                f"{images:,.0f}",
                f"{confidence / images:.3f}",
                f"{right / images:.3f}",
            )


def _confusions(evaluation: Evaluation, classes: Sequence[str], part: str) -> list[str]:
    wrong = evaluation.confusion - np.diag(np.diag(evaluation.confusion))
    most = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    of_class = evaluation.confusion.sum(axis=1)
    rows = [
        (
            _plain(classes[true]),
            _plain(classes[predicted]),
            f"{wrong[true, predicted]:,}",
            f"{100 * wrong[true, predicted] / of_class[true]:.1f} %",
        )
        for true, predicted in zip(*np.unravel_index(most, wrong.shape), strict=True)
        if wrong[true, predicted]
    ]
    head = ("class", "taken for", f"{part} images", "of the class")
    return [table(head, rows)] if rows else [f"No {part} image was classified wrongly."]


def _litert(checks: dict[str, dict[str, Any]]) -> list[str]:
    rows = [
        (
            f"`{precision}.tflite`",
            f"{check['bytes']:,}",
            f"{check['images']:,}",
            f"{check['same_class']:.2f} %",
            f"{check['largest_difference']:.4f}",
            f"{check['error']:.2f} %",
            f"{check['saved_model_error']:.2f} %",
        )
        for precision, check in checks.items()
    ]
    head = ("file", "bytes", "images compared", "same class", "largest difference of a probability")
    note = "Each model beside the SavedModel it was made of, on images spread over those evaluated:"
    parts = ["## LiteRT", note, table((*head, "error", "of the SavedModel"), rows)]
    if "int8" in checks:
        parts.append(
            "`int8.tflite` was quantized with representative data: "
            f"{checks['int8']['representative_images']:,} labelled training images, not augmented."
        )
    return parts


def _versions(run: Records | None) -> list[str]:
    if run is None or not run.versions:
        return []
    return ["## Versions", ", ".join(f"{name} {value}" for name, value in run.versions.items())]


def _names(classes: Sequence[str]) -> str:
    shown = ", ".join(map(_plain, classes[:20]))
    return shown if len(classes) <= 20 else f"{shown}, ... (all in labels.txt)"


def _plain(text: str) -> str:
    """Escapes what Markdown or a table would take for its own."""
    return "".join(f"\\{letter}" if letter in "\\|`*_[]<>#" else letter for letter in text)
