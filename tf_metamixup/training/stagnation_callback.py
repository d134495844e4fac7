"""Warns, within Keras's `fit`, of a loss that stays at that of a guess."""

import warnings

import keras

from tf_metamixup.core import divergence
from tf_metamixup.training.scale_callback import ScaleCallback


class StagnationCallback(keras.callbacks.Callback):
    """Warns once per `fit`; epochs of few steps are looked at together."""

    def __init__(self, classes: int, scales: ScaleCallback):
        super().__init__()
        self._classes, self._scales = classes, scales

    def on_train_begin(self, logs=None):
        """Forgets an earlier `fit`; Keras calls it."""
        self._warned = False
        self._steps, self._total = 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Notes where the epoch begins; Keras calls it."""
        self._first = int(self.model.optimizer.iterations.numpy())

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the mean loss of the epoch; Keras calls it."""
        # Not the numbers of its batches: Keras gives that of the last of several steps together,
        # even where there were fewer.
        steps = int(self.model.optimizer.iterations.numpy()) - self._first
        self._steps, self._total = self._steps + steps, self._total + steps * logs.get("loss", 0)
        if self._steps < divergence.FEWEST_STEPS:
            return
        loss = self._total / self._steps
        problem = divergence.stagnation(loss, self._steps, self._classes)
        self._steps, self._total = 0, 0.0
        if problem and not self._warned:
            advice = divergence.advice(*self._scales.image_range)
            warnings.warn(f"{problem}. {advice}", stacklevel=2)
            self._warned = True
