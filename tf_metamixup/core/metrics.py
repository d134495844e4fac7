"""A pass over the test images: what is summed, and what the sums say."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_metamixup.losses import cross_entropy

# Guo et al. 2017, "On Calibration of Modern Neural Networks", section 5.
BINS = 15


class Evaluation(NamedTuple):
    """Sums over images, tensors in a graph and NumPy arrays outside.

    The sums over two parts of a test set, or those of two replicas, add up field by field.
    """

    confusion: np.ndarray  # images by (true class, predicted class), [C, C]
    # [15, 3], a row for the images whose confidence, the probability of the predicted class, lies
    # in (m / 15, (m + 1) / 15]: their number, the sum of their confidences, and how many of them
    # are classified correctly.
    bins: np.ndarray
    loss_sum: np.ndarray  # of the cross-entropy
    within_top5: np.ndarray  # images whose class is among the five with the highest scores

    def numpy(self) -> "Evaluation":
        """Returns the same outside of the graph; counts of the confusion matrix as integers."""
        arrays = Evaluation(*(np.asarray(each, np.float64) for each in self))
        return arrays._replace(confusion=arrays.confusion.astype(np.int64))

    @property
    def images(self) -> int:
        """Returns their number."""
        return int(self.confusion.sum())

    @property
    def error(self) -> float:
        """Returns the percentage of images classified wrongly."""
        return 100 * (self.images - int(np.trace(self.confusion))) / self.images

    @property
    def class_errors(self) -> list[float | None]:
        """Returns the error of each class in percent; None of one without images."""
        sizes = self.confusion.sum(axis=1)
        right = np.diag(self.confusion)
        return [float(100 * (n - r) / n) if n else None for n, r in zip(sizes, right, strict=True)]

    @property
    def only_answer(self) -> int | None:
        """Returns the class that images of several classes were all taken for, or None."""
        (answers,) = np.nonzero(self.confusion.sum(axis=0))
        several = np.count_nonzero(self.confusion.sum(axis=1)) > 1
        return int(answers[0]) if several and len(answers) == 1 else None

    @property
    def error_macro(self) -> float:
        """Returns the mean of the classes' errors in percent: as if each had as many images."""
        return float(np.mean([error for error in self.class_errors if error is not None]))

    @property
    def error_top5(self) -> float:
        """Returns the percentage of images whose class is not among the first five."""
        return float(100 * (self.images - self.within_top5) / self.images)

    @property
    def loss(self) -> float:
        """Returns the mean cross-entropy."""
        return float(self.loss_sum / self.images)

    @property
    def ece(self) -> float:
        """Computes the expected calibration error in percent (Guo et al. 2017, eq. 3).

        The distance between accuracy and mean confidence of a bin, averaged over the images.
        """
        _, confidence, right = self.bins.T
        return float(100 * np.abs(right - confidence).sum() / self.images)

    @property
    def scores(self) -> dict[str, float]:
        """Returns the numbers by name; the top-5 error with more than ten classes only."""
        top5 = {"error_top5": self.error_top5} if len(self.confusion) > 10 else {}
        errors = {"error": self.error, "error_macro": self.error_macro, **top5}
        return {**errors, "loss": self.loss, "ece": self.ece}


def evaluate(probs: tf.Tensor, logits: tf.Tensor, real: tf.Tensor) -> Evaluation:
    """Computes the sums over some images, in a graph.

    Args:
        probs: targets [N, C]; the true class is the most probable one.
        logits: [N, C].
        real: 1 for each image, 0 for rows that only fill up, [N].
    """
    classes = logits.shape[-1]
    real = tf.cast(real, tf.float64)
    truth, predicted = tf.argmax(probs, axis=-1), tf.argmax(logits, axis=-1)
    confidence = tf.cast(tf.reduce_max(tf.nn.softmax(logits), axis=-1), tf.float64)
    bin_number = tf.cast(tf.math.ceil(BINS * confidence), tf.int32) - 1
    columns = [tf.ones_like(real), confidence, tf.cast(truth == predicted, tf.float64)]
    top5 = tf.math.in_top_k(truth, tf.cast(logits, tf.float32), min(5, classes))

    # As products: sums by index are not deterministic on GPUs.
    def by(index, size, values):
        return tf.matmul(real[:, None] * tf.one_hot(index, size, dtype=tf.float64), values, True)

    return Evaluation(
        confusion=by(truth, classes, tf.one_hot(predicted, classes, dtype=tf.float64)),
        # A confidence may be rounded to just above 1.
        bins=by(tf.clip_by_value(bin_number, 0, BINS - 1), BINS, tf.stack(columns, axis=1)),
        loss_sum=tf.reduce_sum(real * tf.cast(cross_entropy(probs, logits), tf.float64)),
        within_top5=tf.reduce_sum(real * tf.cast(top5, tf.float64)),
    )
