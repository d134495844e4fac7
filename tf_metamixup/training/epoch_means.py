"""What Keras's `fit` logs of the steps of an epoch."""

import keras
import tensorflow as tf

from tf_metamixup.training.step import Report


class EpochMeans:
    """Averages over an epoch. No layer, so that Keras's evaluation does not know of it."""

    def __init__(self):
        self._means = [keras.metrics.Mean(name) for name in ("loss", "lambda_mean", "lambda_move")]

    def update(self, report: Report) -> dict[str, tf.Tensor]:
        """Takes in a step and returns the means so far."""
        total, share = report.metrics["train_loss"]
        # Rejected rows are not mixed.
        accepted = tf.cast(report.examples.accepted, tf.float32)
        lambdas = (report.lambdas.value, tf.abs(report.lambdas.move))
        self._means[0].update_state(total / share, sample_weight=tf.size(accepted))
        for mean, values in zip(self._means[1:], lambdas, strict=True):
            mean.update_state(values, sample_weight=accepted)
        return {mean.name: mean.result() for mean in self._means}

    def reset(self) -> None:
        """Begins an epoch."""
        for mean in self._means:
            mean.reset_state()
