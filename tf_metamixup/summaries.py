"""TensorBoard: what a run shows while it goes on. Gets plain numbers and arrays."""

import contextlib
import json
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from tf_metamixup.errors import reason
from tf_metamixup.history import ACCEPTED, LAM, MOVE, START

# Where a history entry is shown; all else of it goes under `epoch/`.
TAGS = {
    "train_loss": "losses/train",
    "test_loss": "losses/test",
    "test_error": "error/test",
    "test_error_top5": "error/test_top5",
    "lambda_mean": "lambda/mean",
    "lambda_std": "lambda/std",
    "lambda_move_mean": "lambda/move_mean",
    "lambda_move_p99": "lambda/move_p99",
}
IMAGE_SIDE = 400


class Summaries:
    """Writes event files into a folder."""

    def __init__(self, folder: pathlib.Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def configuration(self, settings: dict[str, Any]) -> None:
        """The settings as text and as hparams."""
        text = "\n".join(f"    {line}" for line in json.dumps(settings, indent=1).splitlines())
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in settings.items()
        }
        with self._written(0):
            tf.summary.text("configuration", text)
            hparams.hparams(plain)

    def interval(self, step: int, scalars: dict[str, float], rows: np.ndarray) -> None:
        """Some steps: scalars by tag, and lambda of the rows [n, 6] before and after the policy."""
        rows = rows[rows[:, ACCEPTED] > 0]
        with self._written(step):
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value)
            if len(rows):
                tf.summary.histogram("lambda/before", rows[:, START])
                tf.summary.histogram("lambda/after", rows[:, LAM])
                tf.summary.histogram("lambda/move", rows[:, MOVE])

    def epoch(self, step: int, entry: dict[str, Any], pairs: tuple[np.ndarray, np.ndarray]) -> None:
        """A closed epoch: its entry, and mean lambda by (class of x_i, class of x_j)."""
        with self._written(step):
            for name, value in entry.items():
                if value is not None and name != "epoch":
                    tf.summary.scalar(TAGS.get(name, f"epoch/{name}"), value)
            tf.summary.image(
                "lambda/by_class_pair",
                class_pair_image(*pairs)[None],
                description="Mean lambda of the mixed pairs, 0 black to 1 white; row: class of "
                "x_i, column: class of x_j; red: no such pair.",
            )

    @contextlib.contextmanager
    def _written(self, step: int) -> Iterator[None]:
        """Events of `step`, to disk at the end; their loss is no reason to stop training."""
        try:
            with self._writer.as_default(step=step):  # which flushes when it ends
                yield
        except tf.errors.OpError as error:
            warnings.warn(f"TensorBoard events were not written: {reason(error)}", stacklevel=4)


def class_pair_image(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean lambda [C, C] as an image, uint8 [side, side, 3]: grey 0 to 1, red where no pair is."""
    grey = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    image = np.repeat(np.round(255 * grey)[..., None], 3, axis=-1).astype(np.uint8)
    image[count == 0] = (178, 24, 43)
    scale = max(1, IMAGE_SIDE // len(image))
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
