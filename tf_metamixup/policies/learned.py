"""What policies share that learn lambda from the meta set: its logits z and their gradient."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup import hypergradient, mixing, replicas
from tf_metamixup.policies.policy import Policy, Task, check_alpha, check_choice, check_count
from tf_metamixup.randomness import Draws

# Logits of the start lie in [logit(1e-4), logit(1 - 1e-4)], about +-9.2.
EDGE = 1e-4

KEEPING = "top_block_cached"
ESTIMATORS = ("nested", "vjp", "top_block", KEEPING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learned(Policy):
    """The options that all learned policies have; each adds its own.

    Attributes:
        estimator: of the gradient. "nested": two tapes, eq. 7 and 9 as they stand. "vjp": the same
            number by a vector-Jacobian product. "top_block": the virtual step touches the weights
            of the top block and the head alone (see `top`). "top_block_cached": it touches those of
            the head alone, and the meta loss is that of the whole meta set, whose features below
            the head are kept (see `kept_features`).
        refresh: with "top_block_cached": the features are computed every so many steps.
        matched: lambda's histogram stays that of its start: what is learned decides only which row
            gets which of the lambdas drawn. A meta loss after one step is lowered by mixing less,
            whatever mixing is good for later; so this cannot be learned.
        alpha: u ~ Beta(alpha, alpha), one a row, drawn anew each step; the paper does not say.
    """

    estimator: str = "nested"
    refresh: int = 25
    matched: bool = False
    alpha: float = 1.0
    name: ClassVar[str]
    reads_meta: ClassVar[bool] = True

    def __post_init__(self):
        check_choice(self.name, "estimator", self.estimator, ESTIMATORS)
        check_count(self.name, "refresh", self.refresh)
        check_alpha(self.name, self.alpha)

    @property
    def keeps_features(self) -> bool:
        """See `Policy`."""
        return self.estimator == KEEPING

    def start(self, task: Task, draws: Draws) -> tf.Tensor:
        """Alg. 1 line 2, "random initialise": z = logit(u), [N]."""
        return logit(self.uniform(task, draws))

    def lam(self, z: tf.Tensor) -> tf.Tensor:
        """The lambda that the virtual step mixes with."""
        return tf.sigmoid(z)

    def uniform(self, task: Task, draws: Draws) -> tf.Tensor:
        """u, [N]; at least 1/2 where rows are dominant."""
        u = draws.beta("lambda", task.rows, self.alpha, task.dtype)
        return tf.maximum(u, 1 - u) if task.dominant else u

    def gradient(self, task: Task, z: tf.Tensor) -> tf.Tensor:
        """Lines 4 to 6: the gradient of the meta loss after the virtual step, [N]."""
        estimate = hypergradient.nested if self.estimator == "nested" else hypergradient.vjp
        whole_step = self.estimator in ("nested", "vjp")
        stepped = range(len(task.theta)) if whole_step else task.top

        def whole(weights):
            theta = list(task.theta)
            for place, weight in zip(stepped, weights, strict=True):
                theta[place] = weight
            return theta

        return estimate(
            lambda weights, z: task.inner(whole(weights), self.lam(z)),
            lambda weights: task.outer(whole(weights)),
            [task.theta[place] for place in stepped],
            z,
            task.learning_rate,
        )


def logit(u: tf.Tensor) -> tf.Tensor:
    """log(u / (1 - u)) of u [N] in [0, 1], which is kept away from both ends."""
    u = tf.clip_by_value(u, EDGE, 1 - EDGE)
    return tf.math.log(u) - tf.math.log1p(-u)


def match(drawn: tf.Tensor, wanted: tf.Tensor, cell: tf.Tensor) -> tf.Tensor:
    """The values `drawn` [N] in the order of `wanted` [N] within each cell [N].

    Rows that want the same stay in the order that they were drawn in.
    """
    rows = mixing.order(cell, wanted, drawn)[:, None]
    return tf.scatter_nd(rows, tf.gather(drawn, mixing.order(cell, drawn)), tf.shape(drawn))


def over_rms(gradient: tf.Tensor, task: Task) -> tf.Tensor:
    """`gradient` [N] over its root mean square over the accepted rows of the global batch.

    It no longer depends on eta; a zero gradient stays zero.
    """
    # Taking eta out first keeps the squares above underflow when a schedule ends near zero.
    gradient = tf.math.divide_no_nan(gradient, tf.cast(task.learning_rate, gradient.dtype))
    accepted = tf.cast(task.accepted, gradient.dtype)
    squares, rows = replicas.total([tf.reduce_sum(accepted * gradient**2), tf.reduce_sum(accepted)])
    return tf.math.divide_no_nan(gradient, tf.sqrt(tf.math.divide_no_nan(squares, rows)))
