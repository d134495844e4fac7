"""One training step on one replica: Algorithms 1 and 2."""

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_metamixup import losses, methods, mixing, policies
from tf_metamixup.core.rng import Draws
from tf_metamixup.core.schedules import Clock
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.batch import Batch
from tf_metamixup.methods.method import Method, Ratio, batch_size
from tf_metamixup.mixing import Examples, Lambdas, Mixture, Sample
from tf_metamixup.models.network import Network
from tf_metamixup.policies import Policy, Task
from tf_metamixup.training.feature_cache import FeatureCache

# Rows of a sample.
SAMPLE = 16


class Recipe(NamedTuple):
    """Holds what stays the same from step to step.

    Attributes:
        network: the network.
        method: which examples, targets and loss.
        policy: where lambda comes from.
        optimizer: makes the real step; its learning rate is the clock's.
        weight_decay: coefficient of the coupled L2 gradient, one per weight of the network.
        groups: how many row groups this replica's rows form.
        feature_cache: the meta set's features, for a policy that caches them.
        trained: indices of the weights that steps change, virtual and real; None for all.
        mix_until: the fraction of the run after which lambda is 1.
    """

    network: Network
    method: Method
    policy: Policy
    optimizer: keras.Optimizer
    weight_decay: list[float]
    groups: int
    feature_cache: FeatureCache | None = None
    trained: tuple[int, ...] | None = None
    mix_until: float = 1.0

    def select(self, values: list) -> list:
        """Selects from `values`, one per weight of the network, those of the trained weights."""
        return values if self.trained is None else [values[index] for index in self.trained]


class Report(NamedTuple):
    """Reports a step: sums for the metrics, and the mixed rows."""

    metrics: dict[str, Ratio]
    examples: Examples
    partner: tf.Tensor
    lambdas: Lambdas

    def sample(self) -> Sample:
        """Returns rows from all over this replica's: labelled and guessed ones are among them."""
        rows = tf.shape(self.partner)[0]
        some = tf.minimum(rows, SAMPLE)
        i = tf.range(some) * rows // some
        j = tf.gather(self.partner, i)
        examples, lambdas = self.examples, self.lambdas
        mixed = Mixture(examples, self.partner, lambdas.value, lambdas.pixels).x
        images, mixed, targets = (
            tf.cast(each, tf.float32) for each in (examples.x, mixed, examples.y)
        )
        return Sample(
            *(tf.gather(images, i), tf.gather(images, j), tf.gather(mixed, i)),
            *(tf.gather(targets, i), tf.gather(targets, j)),
            lam=tf.cast(tf.gather(lambdas.value, i), tf.float32),
            accepted=tf.gather(examples.accepted, i),
            guessed=tf.gather(examples.guessed, i),
        )


def train_step(recipe: Recipe, batch: Batch, clock: Clock, draws: Draws) -> Report:
    """Takes one step of Algorithm 1 or 2 on one replica.

    It changes the weights, the moving statistics and the optimizer, each in one line.
    """
    network, method = recipe.network, recipe.method
    theta = network.theta
    # Alg. 1 lines 2 to 6: the meta stage. Every pass is pure.
    examples, partner, task = paired(recipe, batch, clock, draws)
    lambdas = lambdas_of(recipe, task, clock, draws)
    # Lines 7 and 8: the same pairs with the better lambda, and the real step from theta.
    forward = network.forward(theta, draws)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        weights = recipe.select(theta)
        tape.watch(weights)
        region = {}
        if method.learns_lambda:
            lambdas, region = method.lambdas(forward, examples, partner)
        mixture = Mixture(examples, partner, lambdas.value, lambdas.pixels)
        loss, watched = methods.valid_loss(method, method.loss(forward, mixture, batch, clock))
    gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
    # The optimizer sums over replicas, so each adds its share of the decay.
    gradients = [
        gradient + decay / replicas.count() * weight
        for gradient, decay, weight in zip(
            gradients, recipe.select(recipe.weight_decay), weights, strict=True
        )
    ]
    recipe.optimizer.apply(gradients, recipe.select(network.trainable))
    network.commit(forward.state, clock.step, examples.memory)
    metrics = {"train_loss": Ratio(loss, 1 / replicas.count()), **region, **watched}
    return Report(metrics, examples, partner, lambdas)


def lambdas_of(recipe: Recipe, task: Task, clock: Clock, draws: Draws) -> Lambdas:
    """Returns the policy's lambdas; 1 once the run has been mixed for as long as it is to be."""
    lambdas = policies.valid_lambdas(recipe.policy, recipe.policy(task, draws), task)
    if recipe.mix_until == 1:
        return lambdas
    return lambdas.where(clock.progress < recipe.mix_until)


def paired(recipe: Recipe, batch: Batch, clock: Clock, draws: Draws):
    """Returns (examples, partner of each row, the policy's task) of this step; is pure."""
    theta = recipe.network.theta
    # Alg. 2 line 3: targets. The pass is not committed.
    forward = recipe.network.forward(theta, draws)
    examples = recipe.method.examples(forward, batch, clock, recipe.groups)
    partner = mixing.pairs(examples, draws)
    return examples, partner, meta_task(recipe, theta, examples, partner, batch, clock, draws)


def meta_task(recipe, theta, examples, partner, batch: Batch, clock: Clock, draws: Draws) -> Task:
    """Makes the training and the meta loss as functions of the weights (eq. 7 and 9)."""
    network, method = recipe.network, recipe.method

    def inner(theta, lam):
        mixture = Mixture(examples, partner, lam)
        forward = network.forward(theta, draws, stage="meta")
        return methods.valid_loss(method, method.loss(forward, mixture, batch, clock))[0]

    def outer(theta):
        if recipe.feature_cache is None:
            logits = network.forward(theta, draws, stage="meta")(batch.x_meta)
        else:
            logits = recipe.feature_cache.logits(theta, batch.x_meta, draws)
        return replicas.global_mean(losses.cross_entropy(batch.y_meta, logits))

    return Task(
        theta=theta,
        inner=inner,
        outer=None if batch.x_meta is None else outer,
        learning_rate=clock.learning_rate,
        accepted=examples.accepted,
        batch_size=batch_size(batch),
        fold_lambda=method.fold_lambda,
        head=network.head,
        trained=recipe.trained,
        permutation_groups=mixing.permutation_groups(examples),
        partner=partner,
        image_size=tf.shape(examples.x)[1:3],
        trust=examples.trust,
    )
