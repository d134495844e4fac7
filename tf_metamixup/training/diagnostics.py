"""Looks at a step without taking it: what it would mix, and how noisy lambda's gradient is."""

import numpy as np
import tensorflow as tf

from tf_metamixup.core.autograph import function
from tf_metamixup.core.rng import Draws
from tf_metamixup.core.schedules import Clock
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.batch import Batch, translate_data_errors
from tf_metamixup.mixing import Mixture
from tf_metamixup.training.graphs import Graphs
from tf_metamixup.training.step import Recipe, lambdas_of, paired


class Diagnostics:
    """Passes over batches of a run and changes no weight; each pass is traced at its first use."""

    def __init__(self, graphs: Graphs):
        self._graphs = graphs
        self._probe = None
        self._agreement = function(lambda *at: self._replicated(agreement, *at))
        self._lambda_gradient = function(self._replicated_lambda_gradient)
        self._mixture = function(lambda *at: mixture(*self._given(*at)))

    def agreement(self, step: int) -> float | None:
        """Returns the cosine of the lambda gradients that two halves of the meta images give.

        It is `meta_gradient_cosine` of the history: of the policy's own estimator, at the current
        weights, the learning rate of `step` and the lambdas drawn there. The training images are
        always those of the run's first batch, so that a curve shows the network's change. The meta
        images are those of the run's first meta batch or, where the policy caches features, the
        whole meta set with the features of their last refresh.

        None where it is undefined, as with fewer than two meta images per replica or where lambda
        is no longer learned at `step`.
        """
        stages = self._graphs.stages
        if not stages.reads_meta(stages.at(step)):
            return None
        if self._probe is None:
            self._probe = next(self._graphs.beginning())
        with translate_data_errors():
            cosine = float(self._agreement(self._probe, tf.constant(step, tf.int64)))
        return cosine if np.isfinite(cosine) else None

    def lambda_gradient(self, batch, step: int) -> np.ndarray:
        """Returns the gradient, [N], by which the policy would move lambda's logits.

        On one replica, at a batch of `Graphs.batches`; `step` decides pairs, lambda's start and the
        learning rate. Cached features are refreshed at their steps, and the first time; nothing
        else is changed.
        """
        return self._lambda_gradient(batch, tf.constant(step, tf.int64)).numpy()

    def mixture(self, batch, step: int) -> Mixture:
        """Makes the mixture that one device would train on at `step` with the current weights."""
        with translate_data_errors():
            return self._mixture(batch, tf.constant(step, tf.int64))

    def _given(self, raw, step) -> tuple[Recipe, Batch, Clock, Draws]:
        graphs = self._graphs
        return graphs.recipe, graphs.to_batch(raw), graphs.clock(step), graphs.draws(step)

    def _replicated(self, look, raw, step):
        return self._graphs.on_first_replica(lambda *at: look(*self._given(*at)), raw, step)

    def _replicated_lambda_gradient(self, raw, step):
        self._graphs.refresh_features(step)
        return self._replicated(lambda_gradient, raw, step)


def mixture(recipe: Recipe, batch: Batch, clock: Clock, draws: Draws) -> Mixture:
    """Makes the mixture that this step would train on; changes nothing."""
    examples, partner, task = paired(recipe, batch, clock, draws)
    if recipe.method.learns_lambda:
        forward = recipe.network.forward(task.theta, draws)
        lambdas, _ = recipe.method.lambdas(forward, examples, partner)
    else:
        lambdas = lambdas_of(recipe, task, clock, draws)
    return Mixture(examples, partner, lambdas.value, lambdas.pixels)


def lambda_gradient(recipe: Recipe, batch: Batch, clock: Clock, draws: Draws) -> tf.Tensor:
    """Returns the policy's gradient at this step (eq. 9), [N]; changes nothing."""
    _, _, task = paired(recipe, batch, clock, draws)
    return recipe.policy.gradient(task, recipe.policy.initial_logits(task, draws))


def agreement(recipe: Recipe, batch: Batch, clock: Clock, draws: Draws) -> tf.Tensor:
    """Computes the cosine of two gradients for lambda, float64: of each half of `batch.x_meta`.

    Both are those of the policy's estimator on the same training rows, pairs and initial lambdas.
    `batch.x_meta` is a meta batch or, with cached features, the features of the whole meta set.
    How much of the gradient is signal: near 0, it is the noise of few meta images. Each gradient
    comes from half of what a step reads, so that of a step has less noise; and it is no comparison
    with the exact gradient, which the benchmark makes. Every other row makes a half, so that
    replicas with an even number of rows split as one device does. Changes nothing. Not a number
    with fewer than two meta rows per replica.
    """

    def gradient(rows):
        half = batch._replace(x_meta=batch.x_meta[rows], y_meta=batch.y_meta[rows])
        return tf.cast(lambda_gradient(recipe, half, clock, draws), tf.float64)

    end = tf.shape(batch.x_meta)[0] // 2 * 2
    first, second = gradient(slice(0, end, 2)), gradient(slice(1, end, 2))
    dot, one, two = replicas.total(
        [tf.reduce_sum(first * second), tf.reduce_sum(first**2), tf.reduce_sum(second**2)]
    )
    return tf.math.divide_no_nan(dot, tf.sqrt(one * two))
