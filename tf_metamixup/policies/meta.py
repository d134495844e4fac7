"""MetaMixUp: lambda is learned from scratch at every step (Algorithm 1, lines 2 to 6)."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import tensorflow as tf

from tf_metamixup import hypergradient, mixing
from tf_metamixup.core.errors import UserError, require
from tf_metamixup.core.rng import Draws
from tf_metamixup.distribution import replicas
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies.policy import POLICIES, Policy, Task, check_alpha

# Initial logits lie in [logit(1e-4), logit(1 - 1e-4)], about +-9.2.
EDGE = 1e-4


class Estimator(NamedTuple):
    """Says how the gradient of the meta loss in lambda's logits is computed.

    Attributes:
        differentiate: a function with the signature of `hypergradient.nested`.
        weights: which weights the virtual step (eq. 7) changes: "all", or those of the "head".
        meta_data: what the meta loss (eq. 9) is computed on: a "batch" of the meta set, or the
            whole meta set from the "cache" of its features, which takes a virtual step of the head.
    """

    differentiate: Callable
    weights: str = "all"
    meta_data: str = "batch"


ESTIMATORS = {
    "nested": Estimator(hypergradient.nested),
    "vjp": Estimator(hypergradient.vjp),
    "cached": Estimator(hypergradient.vjp, weights="head", meta_data="cache"),
}
REMOVED_ESTIMATORS = {
    "top_block_cached": "it is called 'cached', and is the default",
    "top_block": "use 'nested' (exact) or 'cached' (cheaper)",
}
CHOICES = {
    "gradient_scale": ("rms", "mean", "sum"),
    "parametrisation": ("logit", "raw"),
    "estimator": tuple(ESTIMATORS),
}


@POLICIES.register("meta")
@dataclasses.dataclass(frozen=True)
class Meta(Policy):
    """Takes one gradient step on lambda's logits to reduce the meta loss (eq. 7 to 11).

    The paper's rows are `meta(estimator='nested')`. The default estimator was chosen
    in development runs: as good there, at less than half the cost.

    Attributes:
        step_size: the paper's alpha in eq. 10. Negative values learn the wrong way, as a control.
        gradient_scale: what the gradient is multiplied by. "mean": 1, the literal eq. 10, with
            which no logit moves by more than about 0.01 once training is under way. "sum": the
            batch size. "rms": divided by the root mean square over the accepted rows of the global
            batch, so that `step_size` is the typical move in logits; it also removes eta, so late
            steps move as far on what may be noise.
        parametrisation: "logit": z = logit(u), lambda = sigmoid(z) before and after the step.
            "raw": the literal reading, lambda = u before and sigmoid(u - step) after it, which
            confines lambda* to [0.5, 0.73] when the gradient is small.
        shuffle: a control: permutes the learned lambdas among the rows that could have been mixed
            with each other. Their histogram stays; what was learned of each pair is lost.
        estimator: how the gradient is computed. "nested": two tapes, eq. 7 and 9 as they stand.
            "vjp": the same number by a vector-Jacobian product. "cached": the virtual step changes
            the weights of the head only, and the meta loss is that of the whole meta set, whose
            features below the head are cached (see `feature_cache`).
        refresh: with "cached": steps from one computation of the features to the next.
        alpha: u ~ Beta(alpha, alpha), drawn per example and step; the paper does not say.
    """

    step_size: float = 1.0
    gradient_scale: str = "rms"
    parametrisation: str = "logit"
    shuffle: bool = False
    estimator: str = dataclasses.field(default="cached", kw_only=True)
    refresh: int = dataclasses.field(default=25, kw_only=True)
    alpha: float = dataclasses.field(default=1.0, kw_only=True)
    reads_meta: ClassVar[bool] = True

    def __post_init__(self):
        if self.estimator in REMOVED_ESTIMATORS:
            raise UserError(
                f"policy meta: estimator={self.estimator!r} was removed in version 0.3 "
                f"(docs/results.md); {REMOVED_ESTIMATORS[self.estimator]}"
            )
        for option, allowed in CHOICES.items():
            value, names = getattr(self, option), ", ".join(allowed)
            require(value in allowed, f"policy meta: {option}={value!r}", f"be one of {names}")
        require(self.refresh >= 1, f"policy meta: refresh={self.refresh}", "be at least 1")
        if self.refresh != type(self).refresh and not self.caches_features:
            raise UserError(
                f"policy meta: refresh={self.refresh} has no effect with estimator="
                f"{self.estimator!r}, which caches no features; leave it out"
            )
        check_alpha("meta", self.alpha)

    @property
    def caches_features(self) -> bool:
        return ESTIMATORS[self.estimator].meta_data == "cache"

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Computes lambda* by Algorithm 1, lines 2 to 6."""
        z = self.initial_logits(task, draws)
        move = -self.step_size * self._scaled(self.gradient(task, z), task)
        if task.fold_lambda:
            # Folding after the step would move the rows that cross 1/2 the wrong way.
            move = tf.maximum(move, -z)
        lambdas = Lambdas(tf.sigmoid(z + move), self.initial_lambda(z), move)
        if self.shuffle:
            rows = mixing.shuffled(task.permutation_groups, draws, "shuffle")
            return lambdas.map(lambda values: tf.gather(values, rows))
        return lambdas

    def initial_logits(self, task: Task, draws: Draws) -> tf.Tensor:
        """Returns z, [N] (line 2, "random initialise"): logit(u), or u in the raw reading."""
        u = draws.beta("lambda", task.rows, self.alpha, task.dtype)
        if task.fold_lambda:
            u = tf.maximum(u, 1 - u)
        if self.parametrisation == "raw":
            return u
        u = tf.clip_by_value(u, EDGE, 1 - EDGE)
        return tf.math.log(u) - tf.math.log1p(-u)

    def gradient(self, task: Task, z: tf.Tensor) -> tf.Tensor:
        """Computes the gradient, [N], of the meta loss after the virtual step in z (lines 4-6)."""
        estimator = ESTIMATORS[self.estimator]
        trained = range(len(task.theta)) if task.trained is None else task.trained
        stepped = task.head if estimator.weights == "head" else trained

        def all_weights(stepped_weights):
            theta = list(task.theta)
            for index, weight in zip(stepped, stepped_weights, strict=True):
                theta[index] = weight
            return theta

        return estimator.differentiate(
            lambda weights, z: task.inner(all_weights(weights), self.initial_lambda(z)),
            lambda weights: task.outer(all_weights(weights)),
            [task.theta[index] for index in stepped],
            z,
            task.learning_rate,
        )

    def initial_lambda(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the lambda, [N], that the virtual step mixes with."""
        return z if self.parametrisation == "raw" else tf.sigmoid(z)

    def _scaled(self, gradient: tf.Tensor, task: Task) -> tf.Tensor:
        """Returns `gradient` [N] times what `gradient_scale` says; a zero gradient stays zero."""
        if self.gradient_scale == "mean":
            return gradient
        if self.gradient_scale == "sum":
            return gradient * tf.cast(task.batch_size, gradient.dtype)
        # Taking eta out first keeps the squares above underflow when a schedule ends near zero.
        gradient = tf.math.divide_no_nan(gradient, tf.cast(task.learning_rate, gradient.dtype))
        accepted = tf.cast(task.accepted, gradient.dtype)
        squares, rows = replicas.total(
            [tf.reduce_sum(accepted * gradient**2), tf.reduce_sum(accepted)]
        )
        return tf.math.divide_no_nan(gradient, tf.sqrt(tf.math.divide_no_nan(squares, rows)))
