"""What must hold for every pair of method and policy; each function asserts one property."""

import functools
import pathlib

import numpy as np
import tensorflow as tf

from tests import tiny
from tf_metamixup import policies
from tf_metamixup.core.errors import UserError
from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies import Policy
from tf_metamixup.runs.checkpoints import Checkpoints, Progress
from tf_metamixup.training.diagnostics import agreement
from tf_metamixup.training.step import train_step

RUN, EPOCH = 120, 3  # steps
# With 0.1, one run in twelve of those that learn lambda has not settled by the last step.
RATE = 0.03


def allowed(method, policy) -> bool:
    """Whether the pair is one."""
    try:
        policies.check(policies.make(policy), method)
    except UserError:
        return False
    return True


class Pair:
    """A trainer on a network with convolution, BatchNorm and dropout, and its data."""

    def __init__(self, method: str, policy: str, replicas: int = 1, norm="synchronized", **options):
        model = functools.partial(tiny.network, norm=norm, dropout=0.2)
        options = {"learning_rate": RATE} | options
        self.trainer = tiny.trainer(method, policy, replicas=replicas, model=model, **options)
        method = self.trainer.method
        data = tiny.streams(views=max(1, method.views), strong_views=method.strong_views)
        self.graphs = self.trainer.graphs(**data, epoch_steps=EPOCH, steps=RUN)
        self.at = 0
        self._batches, self._prepared = None, {}

    def train(self, first: int, count: int, *, calls: int = 1):
        """Losses and rows of `count` steps, taken in `calls` calls."""
        # To begin again at a step takes longer than a hundred steps.
        if self._batches is None or first != self.at:
            self._batches = self.graphs.batches(first)
        self.at = first + count
        reported = []
        for number in range(calls):
            at, until = (first + count * n // calls for n in (number, number + 1))
            reported.append(self.graphs.train(self._batches, at, until - at)[1:])
        losses, rows = zip(*reported, strict=True)
        return np.concatenate(losses), np.concatenate(rows)

    def weights(self):
        return tiny.weights(self.graphs)

    def train_on(self, count: int, **options):
        """The next `count` steps."""
        return self.train(self.at, count, **options)

    def reset(self, weights):
        for variable, value in zip(self.graphs.variables, weights, strict=True):
            variable.assign(value)

    def step(self, policy=None, at: int = 0, *, change=lambda batch: batch):
        """One step outside of a graph, on a batch that `change` has changed."""
        self.graphs.refresh_features(tf.constant(at, tf.int64))
        recipe, batch, *rest = self._given(policy, at)
        return train_step(recipe, change(batch), *rest)

    def probe(self):
        """The meta stage alone."""
        return agreement(*self._given(None, 0))

    def _given(self, policy, at):
        graphs, step = self.graphs, tf.constant(at, tf.int64)
        if at not in self._prepared:
            self._prepared[at] = graphs.to_batch(next(graphs.batches(at)))
        recipe = graphs.recipe._replace(policy=policy or self.trainer.policy)
        return recipe, self._prepared[at], graphs.clock(step), Draws.at(self.trainer.seed, step)


def one_graph_serves_all_steps(pair: Pair) -> None:
    losses, _ = pair.train_on(5, calls=3)
    assert np.isfinite(losses).all()
    assert pair.graphs._train.experimental_get_tracing_count() == 1


def two_replicas_equal_one_device(one: Pair, two: Pair) -> None:
    """In float64, after five steps, to 1e-10."""
    (losses, rows), (losses_two, rows_two) = one.train(0, 5), two.train(0, 5)
    np.testing.assert_allclose(losses_two, losses, rtol=1e-10)
    np.testing.assert_allclose(rows_two, rows, atol=1e-6)  # reported in float32
    for number, (expected, actual) in enumerate(zip(one.weights(), two.weights(), strict=True)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10, err_msg=str(number))


def a_restored_run_repeats_its_next_steps(pair: Pair, folder: pathlib.Path) -> None:
    checkpoints = Checkpoints(folder, pair.graphs.variables)
    pair.train_on(3 if pair.at % 2 == 0 else 2)
    at = pair.at  # odd, where `meta(refresh=2)` goes on with the features of a step ago
    checkpoints.save(at, Progress({}, {}))
    losses, rows = pair.train_on(3)
    weights = pair.weights()
    checkpoints.restore()
    losses_again, rows_again = pair.train(at, 3)
    np.testing.assert_array_equal(losses_again, losses)
    np.testing.assert_array_equal(rows_again, rows)
    for expected, actual in zip(weights, pair.weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def lie_where_they_must(pair: Pair, *lambdas) -> None:
    least = 0.5 if pair.trainer.method.fold_lambda else 0.0
    for values in lambdas:
        assert (values >= least).all() and (values <= 1).all()


def lambda_lies_where_it_must(pair: Pair) -> None:
    _, rows = pair.train_on(5)
    lie_where_they_must(pair, rows[:, 0], rows[:, 1])


def a_step_is_finite(pair: Pair) -> None:
    """Outside of a graph, with lambda where it must lie."""
    before = pair.weights()
    # A lambda for the whole batch may lie above 1/2 by chance.
    for at in range(4 if pair.trainer.method.fold_lambda else 1):
        lambdas = pair.step(at=at).lambdas
        lie_where_they_must(pair, lambdas.value.numpy(), lambdas.start.numpy())
    after = pair.weights()
    assert all(np.isfinite(values).all() for values in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


class Given(Policy):
    """Lambda as it is handed over."""

    def __init__(self, value):
        self._value = value

    def __call__(self, task, draws):
        return Lambdas.given(self._value(task))


def leaky(theta, rows):
    """A lambda that hangs on the weights."""
    return tf.sigmoid(tf.linspace(-2.0, 2.0, rows) + tf.reduce_sum(theta[0]))


def no_gradient_flows_through_lambda(pair: Pair) -> None:
    """A lambda that hangs on the weights makes the step that the same numbers make."""
    before = pair.weights()
    report = pair.step(Given(lambda task: leaky(task.theta, task.rows)))
    after = pair.weights()
    pair.reset(before)
    numbers = tf.constant(report.lambdas.value.numpy())
    pair.step(Given(lambda task: numbers))
    for expected, actual in zip(pair.weights(), after, strict=True):
        np.testing.assert_array_equal(actual, expected)


def unlabelled_images_are_learned_from(pair: Pair) -> None:
    """Without BatchNorm, other unlabelled images make another step."""
    first, late = pair.weights(), RUN - 1  # when ramps are over
    pair.step(at=late)
    after = pair.weights()
    pair.reset(first)
    pair.step(at=late, change=lambda batch: batch._replace(u=-batch.u))
    assert any(not np.allclose(a, b) for a, b in zip(pair.weights(), after, strict=True))


def the_meta_stage_changes_nothing(pair: Pair) -> None:
    pair.step()  # momentum and statistics are not zero
    before = pair.weights()
    assert np.isfinite(pair.probe())
    for expected, actual in zip(before, pair.weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def the_loss_falls(pair: Pair, before: dict | None = None) -> None:
    """On separable data, that of the test set, from the beginning of the run to its end."""
    before = before or pair.trainer.evaluate(tiny.test_set())
    pair.train_on(RUN - pair.at)
    after = pair.trainer.evaluate(tiny.test_set())
    assert after["loss"] < 0.8 * before["loss"], (before, after)


def nothing_accepted_is_finite(pair: Pair) -> None:
    report = pair.step()
    assert not (report.examples.guessed & report.examples.accepted).numpy().any()
    for values in (*report.lambdas[:3], *pair.weights()):
        assert np.isfinite(values).all()
