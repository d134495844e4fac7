"""What Pseudo-Label, FixMatch and its heirs share: hard guesses on one view, for another."""

from typing import ClassVar

import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core.errors import require
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.method import Method, guess_metrics, over_batch, with_guesses
from tf_metamixup.mixing import join


class Guessing(Method):
    """Takes the network's predictions on the first view as the labels of unlabelled images.

    Each step, argmax of the current network on the un-mixed first view; batch statistics, no update
    of the moving ones. The labels of a step serve its virtual and its real step. Trained on is the
    last view, which is the first one where there is one. The loss is the cross-entropy of the
    labelled rows plus `weight` times that of the unlabelled ones, means over all of each: rejected
    rows count as zeros.

    Subclasses have the fields `weight` and `pool`: whether labelled and unlabelled rows mix with
    each other.
    """

    align: ClassVar[bool] = False
    views: ClassVar[int] = 2
    strong_views: ClassVar[int] = 1

    def weigh(self, probs, forward, clock) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Weighs the guesses: [n], 0 where rejected; returns the new memory too.

        Args:
            probs: predictions on the first view [n, C].
            forward: the network; `forward.memory` is what is remembered.
            clock: when the step happens.
        """
        raise NotImplementedError

    def memory(self, classes):
        names = ("predicted", "labelled") if self.align else ()
        return {name: [1 / classes] * classes for name in names}

    def examples(self, forward, batch, clock, groups):
        """Returns the labelled rows and, with weight 0 where rejected, the unlabelled ones."""
        first, last = batch.u[:, 0], batch.u[:, -1]
        probs = tf.nn.softmax(forward(first))
        remembered = {}
        if self.align:
            probs, remembered = aligned(probs, forward, batch)
        weight, more = self.weigh(probs, forward, clock)
        guess = tf.one_hot(tf.argmax(probs, axis=-1), tf.shape(probs)[-1], dtype=probs.dtype)
        # The loss is over labelled rows, of which there may be fewer.
        share = tf.shape(batch.x)[0] / tf.shape(batch.u)[0]
        weight = self.weight * tf.cast(share, probs.dtype) * weight
        made = with_guesses(batch, groups, [last], guess, weight=weight, pool=self.pool)
        aside = first if self.views > 1 else None
        return made._replace(aside=aside, memory=remembered | more)

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B, and metrics of the guesses."""
        each = losses.cross_entropy(mixture.y, self.logits(forward, mixture))
        loss = over_batch(mixture.examples.weight * each, batch)
        return loss, guess_metrics(mixture.examples)

    def logits(self, forward, mixture) -> tf.Tensor:
        """Computes the logits of the mixed rows, [N, C].

        First views that are not trained on share the pass for BatchNorm's statistics: strong views
        by themselves are unlike the images that are predicted.
        """
        examples = mixture.examples
        if examples.aside is None:
            return forward(mixture.x)
        logits = forward(join(examples.groups, mixture.x, examples.aside))
        grouped = tf.reshape(logits, [examples.groups, -1, logits.shape[-1]])
        rows = tf.shape(examples.weight)[0]
        return tf.reshape(grouped[:, : rows // examples.groups], [rows, logits.shape[-1]])


def aligned(probs, forward, batch) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Moves predictions towards the classes' shares among labelled images (ReMixMatch, 3.1).

    Both running means have the decay 127/128, for the code's last 128 batches.

    Args:
        probs: [n, C].
        forward: the network; its memory is that of `Guessing` with `align`.
        batch: whose targets are the labelled ones.

    Returns:
        The predictions [n, C], and the new memory.
    """
    means = {"predicted": probs, "labelled": batch.y}
    new = {
        name: running_mean(forward.memory[name], tf.reduce_mean(values, axis=0), 127 / 128)
        for name, values in means.items()
    }
    moved = probs * tf.cast(new["labelled"] / new["predicted"], probs.dtype)
    return moved / tf.reduce_sum(moved, axis=-1, keepdims=True), new


def running_mean(old: tf.Tensor, new: tf.Tensor, decay: float | tf.Tensor) -> tf.Tensor:
    """Returns decay * old + (1 - decay) * the mean of `new` over replicas; without a gradient."""
    new = replicas.mean(tf.stop_gradient(tf.cast(new, old.dtype)))
    decay = tf.cast(decay, old.dtype)
    return decay * old + (1 - decay) * new


def check_guessing(method: str, weight: float, **shares: float) -> None:
    """Raises UserError unless `weight` is above 0 and the others lie in [0, 1]."""
    for name, value in shares.items():
        require(0 <= value <= 1, f"{method}: {name}={value}", "lie in [0, 1]")
    require(weight > 0, f"{method}: weight={weight}", "be above 0")
