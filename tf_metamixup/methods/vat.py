"""Virtual Adversarial Training (Miyato et al. 2018), with the values of Oliver et al. (2018)."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core import schedules
from tf_metamixup.core.errors import require
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.consistency import check_weight
from tf_metamixup.methods.method import METHODS, Method, Ratio, over_batch, with_guesses


@METHODS.register("vat")
@dataclasses.dataclass(frozen=True)
class Vat(Method):
    """Keeps predictions on unlabelled images constant in the direction where they change most.

    L = cross-entropy on labelled rows + w(t) KL(p(u + r) || p(u)) + entropy * H(p(u + r)), means
    over images; p(u) has no gradient, and r = epsilon d with d one power iteration from noise. Both
    terms are as coded by Oliver et al.: of the moved image, the divergence the other way round than
    in Miyato et al. p(u) and r are found once a step, from theta, in passes over the unlabelled
    images alone, and serve its virtual and its real step. A policy mixes the labelled images; the
    unlabelled ones stay un-mixed, and share their pass for BatchNorm's statistics alone.

    Attributes:
        entropy: weight of the entropy; above 0 this is "VAT + EM" (0.06 is MixMatch's; the runs of
            Oliver et al.'s code have 0.1).
        epsilon: length of r. 6 is Oliver et al.'s for CIFAR-10 after GCN and ZCA, and MixMatch's
            for images in [-1, 1]; 1 is Oliver et al.'s for SVHN in [-1, 1].
        xi: length of the step of the power iteration. With the published 1e-6 the direction is
            noise in float32 (measured: cosine with float64 about 0; with 0.01 it is 1.00).
        coefficient: w_max (0.3).
        ramp: fraction of the run in which w rises to it (200,000 of 500,000 steps).
    """

    entropy: float = 0.0
    epsilon: float = 6.0
    xi: float = 0.01
    coefficient: float = 0.3
    ramp: float = 0.4
    views: ClassVar[int] = 1
    needs_exact: ClassVar[str] = (
        "its step xi is below what bfloat16 tells apart, and the direction would be noise"
    )

    def __post_init__(self):
        check_weight("vat", self.coefficient, self.ramp)
        require(self.entropy >= 0, f"vat: entropy={self.entropy}", "be at least 0")
        require(self.epsilon > 0, f"vat: epsilon={self.epsilon}", "be above 0")
        require(self.xi > 0, f"vat: xi={self.xi}", "be above 0")

    def examples(self, forward, batch, clock, groups):
        """Returns the labelled rows, the unlabelled ones with weight 0, and beside them u + r."""
        u = batch.u[:, 0]
        logits = tf.stop_gradient(forward(u))
        noise = forward.draws.normal("vat", tf.shape(u)[0], tf.shape(u)[1:], u.dtype)
        moved = u + self.epsilon * adversarial_direction(forward, u, logits, noise, self.xi)
        rejected = tf.zeros_like(logits[:, 0])
        made = with_guesses(batch, groups, [u], tf.nn.softmax(logits), weight=rejected)
        return made._replace(aside=tf.stop_gradient(moved))

    def loss(self, forward, mixture, batch, clock):
        """Computes the three summands in two passes."""
        logits = forward(mixture.x)
        each = losses.cross_entropy(mixture.y, logits)
        labelled = over_batch(mixture.examples.weight * each, batch)
        student = forward(mixture.examples.aside)
        # In order. A mask would do the same, but a compiler would not know how many they are.
        places = tf.argsort(tf.cast(~mixture.examples.guessed, tf.int32), stable=True)
        clean = tf.gather(mixture.examples.y, places[: tf.shape(student)[0]])
        # Clipped, since what underflowed in the softmax has no logarithm.
        log_clean = tf.math.log(tf.maximum(clean, clean.dtype.as_numpy_dtype(1e-30)))
        divergence = replicas.global_mean(losses.kl_divergence(student, log_clean))
        entropy = replicas.global_mean(losses.entropy(student))
        weight = self.coefficient * schedules.sigmoid_ramp(self.ramp, clock.progress)
        weight = tf.cast(weight, logits.dtype)
        share = 1 / replicas.count()
        return labelled + weight * divergence + self.entropy * entropy, {
            "labelled_loss": Ratio(labelled, share),
            "consistency_loss": Ratio(divergence, share),
            "consistency_weight": Ratio(weight),
            "entropy": Ratio(entropy, share),
        }


def adversarial_direction(forward, u, logits, noise, xi: float) -> tf.Tensor:
    """Returns the unit direction, per image, in which predictions change most; [n, H, W, C].

    One power iteration on the second derivative of KL(p(u) || p(u + r)) at r = 0 (Miyato et al.):
    its gradient at r = xi * noise.

    Args:
        forward: images -> logits.
        u: images [n, H, W, C].
        logits: theirs [n, C].
        noise: where the iteration starts, of the shape of `u`.
        xi: length of the step.
    """
    r = xi * _unit(noise)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(r)
        divergence = tf.reduce_sum(losses.kl_divergence(logits, forward(u + r)))
    return _unit(tape.gradient(divergence, r))


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    """Divides each row by its length; a row of zeros stays one."""
    axes = list(range(1, len(vectors.shape)))
    # By the largest entry first, so that squares do not underflow.
    vectors = tf.math.divide_no_nan(vectors, tf.reduce_max(tf.abs(vectors), axes, keepdims=True))
    return tf.math.divide_no_nan(vectors, tf.sqrt(tf.reduce_sum(vectors**2, axes, keepdims=True)))
