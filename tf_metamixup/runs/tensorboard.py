"""TensorBoard: what a run shows while it goes on. Gets plain numbers and arrays."""

import contextlib
import json
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2 as hparams_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from tf_metamixup.core import extras
from tf_metamixup.core.errors import reason
from tf_metamixup.core.metrics import Evaluation
from tf_metamixup.mixing import Sample
from tf_metamixup.runs.history import ACCEPTED, LAM, MOVE, START

# Where a history entry is shown; all else of it goes under `monitors_by_epoch/`. The first page is
# sorted by tag: errors come first.
TAGS = {
    "train_loss": "losses/train",
    "val_loss": "losses/val",
    "test_loss": "losses/test",
    "val_error": "error/val",
    "val_error_macro": "error/val_macro",
    "val_error_top5": "error/val_top5",
    "val_ece": "error/val_ece",
    "test_error": "error/test",
    "test_error_macro": "error/test_macro",
    "test_error_top5": "error/test_top5",
    "test_ece": "error/test_ece",
    "meta_gradient_cosine": "lambda/meta_gradient_cosine",
    "lambda_mean": "lambda/mean",
    "lambda_std": "lambda/std",
    "lambda_move_mean": "lambda/move_mean",
    "lambda_move_p99": "lambda/move_p99",
}
# What the name of a scalar does not say; TensorBoard shows it beside the chart.
DESCRIPTIONS = {
    "meta_gradient_cosine": (
        "Cosine of two gradients for lambda, of the run's estimator on the training images of its "
        "first batch: one from every other meta image, one from the rest. Meta images are those of "
        "the first meta batch (estimators nested and vjp) or the whole meta set (cached). Near 0, "
        "the gradient is noise."
    )
}
# The columns that the page "HParams" has at first.
COMPARED = ("policy", "method", "dataset", "architecture", "seed")
# The page "Custom Scalars": charts by heading, and the tags that each one shows.
LAYOUT = {
    "How well it does": {
        "test error, %": ("error/test", "error/test_top5"),
        "validation error, %": ("error/val", "error/val_top5"),
        "loss": ("losses/train", "losses/val", "losses/test"),
        "expected calibration error, %": ("error/val_ece", "error/test_ece"),
    },
    "What lambda does": {
        "lambda: mean and standard deviation": ("lambda/mean", "lambda/std"),
        "how far the policy moves its logit: mean and 99th percentile": (
            "lambda/move_mean",
            "lambda/move_p99",
        ),
        "cosine of lambda's gradients, of two halves of the meta images": (
            "lambda/meta_gradient_cosine",
        ),
    },
    "How it goes": {
        "learning rate": ("monitors/learning_rate",),
        "images per second": ("monitors/images_per_second",),
    },
    "Pseudo-labels, of methods that make them": {
        "threshold, and share of the guesses above it": ("monitors/threshold", "monitors/accepted"),
        "accepted guesses that are wrong, %": ("monitors/pseudo_label_error",),
    },
}


class Summaries:
    """Writes event files into a folder; the pictures have the names of the classes."""

    def __init__(self, folder: pathlib.Path, class_names: Sequence[str]):
        self._writer = tf.summary.create_file_writer(str(folder))
        self._names = class_names

    def configuration(self, settings: dict[str, Any]) -> None:
        """Writes the settings as text and as hparams, with their metrics, and the layout."""
        text = "\n".join(f"    {line}" for line in json.dumps(settings, indent=1).splitlines())
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in settings.items()
        }
        with self._written(0):
            tf.summary.text("configuration", text)
            tf.summary.experimental.write_raw_pb(_experiment(plain).SerializeToString())
            hparams.hparams(plain)
            tf.summary.experimental.write_raw_pb(custom_scalar.pb(_layout()).SerializeToString())

    def interval(self, step: int, scalars: dict[str, float], rows: np.ndarray) -> None:
        """Writes scalars by tag, and lambda of the rows [n, 6] before and after the policy."""
        rows = rows[rows[:, ACCEPTED] > 0]
        with self._written(step):
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value)
            if len(rows):
                tf.summary.histogram("lambda/before", rows[:, START])
                tf.summary.histogram("lambda/after", rows[:, LAM])
                tf.summary.histogram("lambda/move", rows[:, MOVE])

    def epoch(self, step: int, entry: dict[str, Any]) -> None:
        """Writes the entry of a closed epoch."""
        with self._written(step):
            for name, value in entry.items():
                if value is not None and name != "epoch":
                    tag = TAGS.get(name, f"monitors_by_epoch/{name}")
                    tf.summary.scalar(tag, value, description=DESCRIPTIONS.get(name))

    def pictures(
        self,
        step: int,
        pairs: tuple[np.ndarray, np.ndarray],
        evaluation: Evaluation | None,
        sample: tuple[Sample, np.ndarray] | None,
    ) -> None:
        """Writes pictures of an evaluation and the epoch before it; what is None is left out.

        `pairs` are those of `History.last_pairs`; the sample is mixed rows, and the probabilities
        that the network gives them.
        """
        try:
            drawn = self._drawn(pairs, evaluation, sample)
        except Exception as error:  # whatever it is, the run goes on without the picture
            warnings.warn(f"TensorBoard's pictures were not drawn: {error!r}", stacklevel=3)
            return
        with self._written(step):
            for tag, image in drawn.items():
                if image is not None:
                    tf.summary.image(tag, image[None])

    def _drawn(self, pairs, evaluation, sample) -> dict[str, np.ndarray | None]:
        # Matplotlib takes a while to load, and not every process that trains draws.
        with extras.needed("tensorboard"):
            from tf_metamixup.runs import tensorboard_images as images

        drawn = {"lambda/by_class_pair": images.class_pairs(*pairs, self._names)}
        if sample is not None:
            drawn["lambda/mixed_rows"] = images.mixed_rows(*sample, self._names)
        if evaluation is not None:
            drawn["evaluation/confusion"] = images.confusion(evaluation.confusion, self._names)
            drawn["evaluation/reliability"] = images.reliability(evaluation.bins, evaluation.ece)
        return drawn

    @contextlib.contextmanager
    def _written(self, step: int) -> Iterator[None]:
        """Writes events of `step` to disk at the end; their loss does not stop training."""
        try:
            with self._writer.as_default(step=step):  # which flushes when it ends
                yield
        except tf.errors.OpError as error:
            warnings.warn(f"TensorBoard events were not written: {reason(error)}", stacklevel=4)


def _experiment(settings: Iterable[str]):
    """Says by which settings and scores runs are compared, for all runs."""
    known = [hparams_pb2.HParamInfo(name=name, differs=name in COMPARED) for name in settings]
    scores = {"test_error": "test error, %", "test_ece": "calibration error, %"}
    return hparams_summary.experiment_pb(
        known,
        [
            hparams_pb2.MetricInfo(name=hparams_pb2.MetricName(tag=TAGS[name]), display_name=shown)
            for name, shown in scores.items()
        ],
    )


def _layout() -> layout_pb2.Layout:
    return layout_pb2.Layout(
        category=[
            {
                "title": heading,
                # TensorBoard takes tags for regular expressions to begin with.
                "chart": [
                    {"title": title, "multiline": {"tag": [f"{tag}$" for tag in tags]}}
                    for title, tags in charts.items()
                ],
            }
            for heading, charts in LAYOUT.items()
        ]
    )
