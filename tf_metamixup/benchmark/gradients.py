"""Compares the estimators' gradients for lambda with the exact one, while training goes on."""

import numpy as np

from tf_metamixup.benchmark.timing import Budget, Repeated
from tf_metamixup.benchmark.workload import REFERENCE
from tf_metamixup.core.bars import Bar
from tf_metamixup.core.errors import UserError
from tf_metamixup.training.diagnostics import Diagnostics

STEPS_PER_CALL = 10


def train(graphs, steps: int) -> None:
    """Takes `steps` steps.

    Raises:
        UserError: the loss is not finite.
    """
    batches = graphs.batches(0)
    with Bar(total=steps, desc="training", unit="step") as bar:
        while bar.n < steps:
            count = min(STEPS_PER_CALL, steps - bar.n)
            _, losses, _ = graphs.train(batches, bar.n, count)
            if not np.isfinite(losses).all():
                raise UserError(
                    f"the loss is not finite after {bar.n + count} steps of training; lower "
                    "--learning_rate"
                )
            bar.update(count)


def gradient_cosines(trained: dict, meta, budget: Budget) -> dict[str, dict[str, float]]:
    """Returns, by estimator, the mean cosines of its gradient for lambda with that of `nested`.

    Args:
        trained: by estimator, the graphs of a trainer of the one model. That of `nested` has taken
            `budget.steps` steps, and takes one more after each batch that is compared.
        meta: the whole meta set, (images, labels).
        budget: how many batches are compared.

    Returns:
        `cosine`, on the same batch, and `cosine_full_meta`, with `nested` over all of `meta`.
    """
    looks = {name: Diagnostics(graphs) for name, graphs in trained.items()}
    sums = {name: {"cosine": 0.0, "cosine_full_meta": 0.0} for name in trained}
    batches = {name: graphs.batches(budget.steps) for name, graphs in trained.items()}
    steps = range(budget.steps, budget.steps + budget.batches)
    for step in Bar(steps, desc="gradients", unit="batch"):
        given = {name: next(each) for name, each in batches.items()}
        gradients = {name: look.lambda_gradient(given[name], step) for name, look in looks.items()}
        exact = gradients[REFERENCE]
        full = looks[REFERENCE].lambda_gradient(given[REFERENCE] | {"meta": meta}, step)
        for name, found in gradients.items():
            sums[name]["cosine"] += cosine(found, exact)
            sums[name]["cosine_full_meta"] += cosine(found, full)
        trained[REFERENCE].train(Repeated(given[REFERENCE]), step, 1)
    return {
        name: {kind: value / budget.batches for kind, value in kinds.items()}
        for name, kinds in sums.items()
    }


def cosine(first, second) -> float:
    """Returns the cosine of the angle between two vectors; 0 where one of them is zero."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / norms) if norms else 0.0
