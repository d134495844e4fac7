"""Interpolation policies: where lambda comes from.

A policy sees a `Task` and nothing else, so that every policy serves every method.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import tensorflow as tf

from tf_metamixup import hypergradient, replicas
from tf_metamixup.errors import UserError
from tf_metamixup.mixing import Lambdas
from tf_metamixup.randomness import Draws
from tf_metamixup.registry import Registry, Spec

POLICIES = Registry("policy")

# Logits of the start lie in [logit(1e-4), logit(1 - 1e-4)], about +-9.2.
EDGE = 1e-4


class Task(NamedTuple):
    """What one step asks of a policy.

    Attributes:
        theta: the network's weights.
        inner: (theta, lam) -> this replica's summand of the training loss of the mixed batch.
        outer: (theta) -> this replica's summand of the meta loss; None without a meta set.
        learning_rate: scalar, eta.
        accepted: bool [N], the rows that are trained on.
        batch_size: the global number of rows that the training loss is divided by.
        dominant: whether each row must stay mostly itself, lambda >= 1/2 (MixMatch).
        top: which of `theta` are the weights of the top block and the head.
    """

    theta: list[tf.Tensor]
    inner: Callable[[list[tf.Tensor], tf.Tensor], tf.Tensor]
    outer: Callable[[list[tf.Tensor]], tf.Tensor] | None
    learning_rate: tf.Tensor
    accepted: tf.Tensor
    batch_size: tf.Tensor
    dominant: bool = False
    top: tuple[int, ...] = ()

    @property
    def rows(self) -> tf.Tensor:
        """N, the number of local rows."""
        return tf.shape(self.accepted)[0]

    @property
    def dtype(self) -> tf.DType:
        """The precision that lambda is worked out in."""
        return self.theta[0].dtype

    def given(self, lam: tf.Tensor) -> Lambdas:
        """A lambda [N] that is not learned; max(lambda, 1 - lambda) where rows are dominant."""
        return Lambdas.given(tf.maximum(lam, 1 - lam) if self.dominant else lam)


class Policy:
    """A policy is a frozen dataclass whose fields are its hyper-parameters.

    Attributes:
        reads_meta: whether it learns from the meta set; such a policy has `start` and `gradient`
            as `Meta` has them.
        mixes: whether its lambda is ever other than 1.
    """

    reads_meta: ClassVar[bool] = False
    mixes: ClassVar[bool] = True

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Lambda for each row of the batch."""
        raise NotImplementedError


@POLICIES.register("none")
@dataclasses.dataclass(frozen=True)
class Unmixed(Policy):
    """lambda = 1: training without MixUp, the paper's Baseline and Supervised-Only."""

    mixes: ClassVar[bool] = False

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Ones."""
        del draws
        return task.given(tf.ones([task.rows], task.dtype))


@POLICIES.register("fixed")
@dataclasses.dataclass(frozen=True)
class Fixed(Policy):
    """lambda = value for every pair (the lower half of Table II)."""

    value: float = 0.5

    def __post_init__(self):
        if not 0 <= self.value <= 1:
            raise UserError(f"policy fixed: value={self.value} must lie in [0, 1]")

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """The same value for all rows."""
        del draws
        return task.given(tf.fill([task.rows], tf.cast(self.value, task.dtype)))


@POLICIES.register("beta")
@dataclasses.dataclass(frozen=True)
class Beta(Policy):
    """lambda ~ Beta(alpha, alpha): MixUp (Zhang et al. 2018).

    One lambda a batch, as the paper describes MixUp (III.B, "a unique value in each mini-batch")
    and the reference code has it; `per_sample` draws one a row.
    """

    alpha: float = 1.0
    per_sample: bool = False

    def __post_init__(self):
        _check_alpha("beta", self.alpha)

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Drawn anew each step."""
        if self.per_sample:
            return task.given(draws.beta("lambda", task.rows, self.alpha, task.dtype))
        lam = draws.shared().beta("lambda", 1, self.alpha, task.dtype)
        return task.given(tf.repeat(lam, task.rows))


@POLICIES.register("meta")
@dataclasses.dataclass(frozen=True)
class Meta(Policy):
    """MetaMixUp: one gradient step on lambda's logits against the meta loss (eq. 7 to 11).

    Attributes:
        step_size: the paper's alpha in eq. 10; negative learns the wrong way, as a control.
        gradient_scale: what the gradient is multiplied by. "mean": 1, the literal eq. 10, with
            which no logit moves by more than about 0.01 once training is under way. "sum": the
            batch size. "rms": over its root mean square over the accepted rows of the global
            batch, so that `step_size` is the typical move in logits; it also removes eta, so late
            steps move as far on what may be noise.
        parametrisation: "logit": z = logit(u), lambda = sigmoid(z) before and after the step.
            "raw": the literal reading, lambda = u before and sigmoid(u - step) after it, which
            confines lambda* to [0.5, 0.73] when the gradient is small.
        alpha: u ~ Beta(alpha, alpha), one a row, drawn anew each step; the paper does not say.
        estimator: of the gradient. "nested": two tapes, eq. 7 and 9 as they stand. "vjp": the same
            number by a vector-Jacobian product. "top_block": the virtual step touches the weights
            of the top block and the head alone (see `Network.top`), which costs about half.
        reflect: how lambda stays at 1/2 or above where a method asks for it (MixMatch). z starts
            at |z| either way; z* below 0 is set to 0, or reflected to |z*|: max(lambda, 1 - lambda)
            after the step, which moves rows that cross 1/2 the wrong way.
    """

    step_size: float = 1.0
    gradient_scale: str = "rms"
    parametrisation: str = "logit"
    alpha: float = 1.0
    estimator: str = "nested"
    reflect: bool = False
    reads_meta: ClassVar[bool] = True

    def __post_init__(self):
        _check_choice("meta", "gradient_scale", self.gradient_scale, ("rms", "mean", "sum"))
        _check_choice("meta", "parametrisation", self.parametrisation, ("logit", "raw"))
        _check_choice("meta", "estimator", self.estimator, ("nested", "vjp", "top_block"))
        _check_alpha("meta", self.alpha)

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Alg. 1 lines 2 to 6."""
        z = self.start(task, draws)
        move = -self.step_size * self.scale(self.gradient(task, z), task)
        if task.dominant:
            move = tf.abs(z + move) - z if self.reflect else tf.maximum(move, -z)
        return Lambdas(tf.sigmoid(z + move), self.lam(z), move)

    def start(self, task: Task, draws: Draws) -> tf.Tensor:
        """Line 2, "random initialise": z [N]."""
        u = draws.beta("lambda", task.rows, self.alpha, task.dtype)
        if task.dominant:
            u = tf.maximum(u, 1 - u)
        if self.parametrisation == "raw":
            return u
        u = tf.clip_by_value(u, EDGE, 1 - EDGE)
        return tf.math.log(u) - tf.math.log1p(-u)

    def lam(self, z: tf.Tensor) -> tf.Tensor:
        """The lambda that the virtual step mixes with."""
        return z if self.parametrisation == "raw" else tf.sigmoid(z)

    def gradient(self, task: Task, z: tf.Tensor) -> tf.Tensor:
        """Lines 4 to 6: the gradient of the meta loss after the virtual step, [N]."""
        estimate = hypergradient.nested if self.estimator == "nested" else hypergradient.vjp
        stepped = task.top if self.estimator == "top_block" else range(len(task.theta))

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

    def scale(self, gradient: tf.Tensor, task: Task) -> tf.Tensor:
        """`gradient` [N] times what `gradient_scale` says; a zero gradient stays zero."""
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


def check(policy: Policy, *, learned_elsewhere: bool) -> None:
    """Refuses a policy beside a method that learns lambda itself.

    Raises:
        UserError: the policy would have no say.
    """
    if learned_elsewhere and not isinstance(policy, Unmixed):
        raise UserError(
            f"the method learns lambda itself, so policy {policy} would have no say; use none"
        )


def _check_alpha(policy: str, alpha: float) -> None:
    if not 0.01 <= alpha <= 100:
        raise UserError(f"policy {policy}: alpha={alpha} must lie in [0.01, 100]")


def _check_choice(policy: str, option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"policy {policy}: {option}={value!r} must be one of {', '.join(allowed)}")


def names() -> list[str]:
    """All policies that `make` knows."""
    return POLICIES.names()


def parse(text: str) -> Spec:
    """The canonical description of a policy."""
    return POLICIES.parse(text)


def make(text: str):
    """The policy that `text` describes, such as `beta(0.5, per_sample=True)`."""
    return POLICIES.make(text)
