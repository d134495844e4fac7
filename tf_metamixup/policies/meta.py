"""MetaMixUp: lambda is learned from scratch at every step."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup import mixing
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies.learned import KEEPING, Learned, match, over_rms
from tf_metamixup.policies.policy import POLICIES, Task, check_choice
from tf_metamixup.randomness import Draws


@POLICIES.register("meta")
@dataclasses.dataclass(frozen=True)
class Meta(Learned):
    """MetaMixUp: one gradient step on lambda's logits against the meta loss (eq. 7 to 11).

    The paper's rows are `meta(estimator='nested')`. The default estimator is the one that
    development chose (WORKSPACE.md): as good there, and less than half as dear.

    With `matched` no step is made: the lambdas drawn are dealt out by the slope of the meta loss in
    lambda, the largest to the row whose slope is the lowest. Of all ways to deal them out this one
    lowers the linearised meta loss the most (the rearrangement inequality). Of `step_size` only the
    sign counts then.

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
        reflect: how lambda stays at 1/2 or above where a method asks for it (MixMatch). z starts
            at |z| either way; z* below 0 is set to 0, or reflected to |z*|: max(lambda, 1 - lambda)
            after the step, which moves rows that cross 1/2 the wrong way.
        shuffle: a control: the learned lambdas change places among the rows that could have been
            mixed with each other. Their histogram stays, what was learned of each pair is lost.
    """

    step_size: float = 1.0
    gradient_scale: str = "rms"
    parametrisation: str = "logit"
    reflect: bool = False
    shuffle: bool = False
    estimator: str = dataclasses.field(default=KEEPING, kw_only=True)
    name: ClassVar[str] = "meta"

    def __post_init__(self):
        super().__post_init__()
        check_choice(self.name, "gradient_scale", self.gradient_scale, ("rms", "mean", "sum"))
        check_choice(self.name, "parametrisation", self.parametrisation, ("logit", "raw"))

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Alg. 1 lines 2 to 6."""
        z = self.start(task, draws)
        gradient = self.gradient(task, z)
        if self.matched:
            move = match(z, -self.step_size * self.slope(gradient, z), task.cell) - z
        else:
            move = -self.step_size * self.scale(gradient, task)
            if task.dominant:
                move = tf.abs(z + move) - z if self.reflect else tf.maximum(move, -z)
        lambdas = Lambdas(tf.sigmoid(z + move), self.lam(z), move)
        if self.shuffle:
            rows = mixing.shuffled(task.cell, draws, "shuffle")
            return Lambdas(*(tf.gather(values, rows) for values in lambdas))
        return lambdas

    def start(self, task: Task, draws: Draws) -> tf.Tensor:
        """Line 2; the literal reading starts from u itself."""
        if self.parametrisation == "raw":
            return self.uniform(task, draws)
        return super().start(task, draws)

    def lam(self, z: tf.Tensor) -> tf.Tensor:
        """See `Learned`."""
        return z if self.parametrisation == "raw" else super().lam(z)

    def slope(self, gradient: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """The gradient [N] with respect to lambda, of that with respect to z."""
        lam = self.lam(z)
        return gradient if self.parametrisation == "raw" else gradient / (lam * (1 - lam))

    def scale(self, gradient: tf.Tensor, task: Task) -> tf.Tensor:
        """`gradient` [N] times what `gradient_scale` says; a zero gradient stays zero."""
        if self.gradient_scale == "mean":
            return gradient
        if self.gradient_scale == "sum":
            return gradient * tf.cast(task.batch_size, gradient.dtype)
        return over_rms(gradient, task)
