"""An amortised policy: a small network that learns over the whole run which lambda a pair gets."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.errors import UserError
from tf_metamixup.lambda_net import LambdaNet
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies.learned import Learned, logit, match, over_rms
from tf_metamixup.policies.policy import POLICIES, Task, check_count
from tf_metamixup.randomness import Draws


@POLICIES.register("meta_net")
@dataclasses.dataclass(frozen=True)
class MetaNet(Learned):
    """lambda = sigmoid(m + exp(s) logit(u)), m and s from a network of what is known of a pair.

    The network sees the targets of both images, the losses remembered of them from their last
    visits and the progress of the run; see `Task.known`. The gradient of the meta loss with respect
    to z (eq. 7 and 9), over its root mean square as in `meta`, is chained through the network,
    which Adam follows. So lambda is learned over the whole run, where `meta` starts from scratch at
    each step, and the gradient is wanted at every few steps only.

    Attributes:
        every: steps from one gradient to the next.
        hidden: units of the network.
        learning_rate: of Adam.
    """

    every: int = 10
    hidden: int = 32
    learning_rate: float = 0.003
    name: ClassVar[str] = "meta_net"
    remembers: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        check_count(self.name, "every", self.every)
        check_count(self.name, "hidden", self.hidden)
        if not 0 < self.learning_rate <= 1:
            raise UserError(
                f"policy {self.name}: learning_rate={self.learning_rate} must lie in (0, 1]"
            )

    def build(self, classes: int) -> LambdaNet:
        """See `Policy`."""
        return LambdaNet(classes, self.hidden, self.learning_rate)

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Lambda from the network as it is, which then learns from it."""
        unlearned = logit(self.uniform(task, draws))
        phi = [tf.convert_to_tensor(v) for v in task.own.network.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(phi)
            z = self._logits(task, draws, phi)
        used = match(unlearned, z, task.cell) if self.matched else z
        if task.learns:
            gradient = over_rms(self.gradient(task, used), task)
            rows = tf.cast(task.batch_size, gradient.dtype)
            gradients = tape.gradient(z, phi, output_gradients=gradient / rows)
            task.own.optimizer.apply(gradients, task.own.network.trainable_variables)
        return Lambdas(self.lam(used), self.lam(unlearned), used - unlearned)

    def start(self, task: Task, draws: Draws) -> tf.Tensor:
        """z, [N], from the network as it is."""
        phi = [tf.convert_to_tensor(v) for v in task.own.network.trainable_variables]
        return self._logits(task, draws, phi)

    def _logits(self, task: Task, draws: Draws, phi: list[tf.Tensor]) -> tf.Tensor:
        told, _ = task.own.network.stateless_call(phi, [], task.known)
        mean, log_spread = tf.unstack(told, axis=1)
        u = draws.beta("lambda", task.rows, self.alpha, task.dtype)
        z = mean + tf.exp(log_spread) * logit(u)
        return tf.abs(z) if task.dominant else z
