"""The base class of methods, with its defaults."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import keras
import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core.errors import UserError, require
from tf_metamixup.core.registry import Registry
from tf_metamixup.core.schedules import Clock
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.batch import Batch
from tf_metamixup.mixing import LABELLED, Examples, Lambdas, Mixture, join
from tf_metamixup.models.network import Forward

# Rows of the paper's tables are pairs, of which a method is one half.
_META = "policy \"meta(estimator='nested')\""
METHODS = Registry(
    "method",
    aliases={
        "baseline": "'supervised' with policy 'none'",
        "supervisedonly": "'supervised' with policy 'none'",
        "none": "'supervised' with policy 'none'",
        "mixup": "'supervised' with policy 'beta'",
        "beta": "'supervised' with policy 'beta'",
        "fixed": "'supervised' with policy 'fixed'",
        "meta": "'supervised' with policy 'meta'",
        "metamixup": f"'supervised' with {_META}",
        "pl": "'pseudo_label'",
        "apl": "'pseudo_label(decay=0.05)'",
        "mixuppseudolabel": "'pseudo_label' with policy 'beta'",
        "mixupapl": "'pseudo_label(decay=0.05)' with policy 'beta'",
        "metamixuppseudolabel": f"'pseudo_label' with {_META}",
        "metamixupapl": f"'pseudo_label(decay=0.05)' with {_META}",
        "pi": "'pi_model'",
        "mt": "'mean_teacher'",
        "vatem": "'vat(entropy=0.06)'",
        "adamixupwodiscriminator": "'adamixup(discriminator=False)'",
        "mixmatchwomixup": "'mixmatch' with policy 'none'",
        "mixmatchmetamixup": "'mixmatch' with policy \"meta(alpha=0.75, estimator='nested')\"",
    },
)


class Ratio(tuple):
    """Holds a metric as (numerator, denominator): both are summed over replicas and steps."""

    def __new__(cls, numerator, denominator=1.0):
        """Casts both to float64 scalars, so that long sums keep their digits."""
        return super().__new__(
            cls, (tf.cast(numerator, tf.float64), tf.cast(denominator, tf.float64))
        )

    @classmethod
    def mean(cls, values: tf.Tensor, where: tf.Tensor | None = None) -> "Ratio":
        """Makes the mean of `values` [n], or of those where `where` bool [n] is true."""
        where = tf.cast(tf.ones_like(values) if where is None else where, tf.float64)
        return cls(tf.reduce_sum(where * tf.cast(values, tf.float64)), tf.reduce_sum(where))


class Method:
    """Defines what is trained on and with which loss: a frozen dataclass of hyper-parameters.

    >>> from tf_metamixup import methods
    >>> fixmatch = methods.make("fixmatch")
    >>> isinstance(fixmatch, Method), fixmatch.views, fixmatch.strong_views
    (True, 2, 1)

    Attributes:
        views: number of augmented views of each unlabelled image; 0 if it uses none.
        strong_views: how many of them, the last ones, are strong (`data.randaugment`).
        average: decay of an average of the weights (see `Network`); None keeps none.
        predicts_average: whether it is the average that is evaluated and exported.
        fold_lambda: whether lambda stays at 1/2 or above: max(lambda, 1 - lambda).
        mixes_hidden: whether it mixes hidden layers, so that lambda is a number per row.
        learns_lambda: whether it learns lambda itself, in `lambdas`; policies have no effect.
        reads_targets: whether its loss is of the labelled rows' targets, as they are.
        judges: whether it judges labels between steps; see `label_judge`.
        audits: which checked images it judges them by: "apart", some that it does not train on;
            "all", which it trains on too; or none.
        trusts: whether it says how far each label is trusted, for policies that mix by it.
        needs_exact: why it must not be computed in half precision; empty where it may.
    """

    views: ClassVar[int] = 0
    strong_views: ClassVar[int] = 0
    average: ClassVar[float | None] = None
    predicts_average: ClassVar[bool] = False
    fold_lambda: ClassVar[bool] = False
    mixes_hidden: ClassVar[bool] = False
    learns_lambda: ClassVar[bool] = False
    reads_targets: ClassVar[bool] = True
    judges: ClassVar[bool] = False
    audits: ClassVar[str] = ""
    trusts: ClassVar[bool] = False
    needs_exact: ClassVar[str] = ""

    def parts(self, model: keras.Model) -> Mapping[str, keras.Model]:
        """Builds further Keras models by name, which methods call as `forward.part(name)`.

        Raises:
            UserError: `model` lacks a layer that they are made of.
        """
        return {}

    def memory(self, classes: int) -> Mapping[str, float | Sequence[float]]:
        """Returns the initial values, by name, of the state kept between steps besides weights.

        A step reads it as `forward.memory[name]` and says in `Examples.memory` what is remembered
        from then on, which must be the same on all replicas.
        """
        return {}

    def examples(self, forward: Forward, batch: Batch, clock: Clock, groups: int) -> Examples:
        """Returns what is mixed and trained on; targets are fixed here, without a gradient.

        By default the labelled batch as it is.

        Args:
            forward: the network at the current weights; what this pass does to its state is lost.
            batch: this replica's rows.
            clock: when the step happens.
            groups: the number of row groups among them.
        """
        return labelled(batch, groups)

    def lambdas(
        self, forward: Forward, examples: Examples, partner: tf.Tensor
    ) -> tuple[Lambdas, dict[str, Ratio]]:
        """Returns lambda, differentiable in the weights, and its metrics; see `learns_lambda`."""
        raise NotImplementedError(f"{type(self).__name__} defines no lambdas")

    def loss(
        self, forward: Forward, mixture: Mixture, batch: Batch, clock: Clock
    ) -> tuple[tf.Tensor, dict[str, Ratio]]:
        """Returns this replica's summand of the loss on the mixed examples, and metrics.

        By default weighted cross-entropy over B (eq. 12). The first pass of `forward` through a
        layer is the one whose BatchNorm statistics are kept.
        """
        each = losses.cross_entropy(mixture.y, forward(mixture.x))
        return over_batch(mixture.examples.weight * each, batch), {}


def valid_loss(method: Method, returned: tuple) -> tuple[tf.Tensor, dict[str, Ratio]]:
    """Returns the (loss, metrics) that `method.loss` gave.

    Raises:
        UserError: they are something else than a scalar and ratios by name.
    """
    match returned:
        case (tf.Tensor() as loss, dict() as metrics) if loss.shape.rank in (None, 0):
            right = all(isinstance(each, Ratio) for each in metrics.values())
            right = right and "train_loss" not in metrics  # the step's own
        case _:
            right = False
    allowed = "be a scalar tensor and a dict of Ratio by name, other than train_loss"
    require(right, f"what loss() of method {method} returns", allowed)
    return returned


def check_precision(method: Method) -> None:
    """Refuses a method that does not go with half precision."""
    reason = method.needs_exact
    if type(method).parts is not Method.parts:
        reason = "it calls parts of the network, and only the whole has a low-precision copy"
    if reason:
        raise UserError(f"bfloat16 does not go with method {method}: {reason}")


def check_smoothing(method: Method, share: float) -> None:
    """Refuses label smoothing that the method does not support."""
    require(0 <= share < 1, f"label_smoothing={share}", "lie in [0, 1)")
    if share and not method.reads_targets:
        raise UserError(
            f"label_smoothing={share} does not go with method {method}, whose loss has its own "
            "account of wrong labels; drop it"
        )


def averaging(method: Method, ema: float | None) -> tuple[float | None, bool]:
    """Returns the decay of an average of the weights, and whether that is evaluated.

    Args:
        method: which may keep one itself.
        ema: decay of the average that is to be evaluated; None leaves it to the method.

    Raises:
        UserError: the method keeps another one.
    """
    if ema is None:
        return method.average, method.predicts_average
    require(0 <= ema < 1, f"ema={ema}", "lie in [0, 1)")
    if method.predicts_average:
        raise UserError(
            f"ema={ema}: method {method} evaluates an average of the weights by itself; set its "
            "option `decay` in place of ema"
        )
    if method.average not in (None, ema):
        raise UserError(
            f"ema={ema}: method {method} keeps an average of the weights with another decay; "
            f"ema={method.average} evaluates that one"
        )
    return ema, True


def batch_size(batch: Batch) -> tf.Tensor:
    """Returns B, the global number of labelled rows."""
    return tf.shape(batch.x)[0] * replicas.count()


def over_batch(values: tf.Tensor, batch: Batch) -> tf.Tensor:
    """Returns this replica's summand of the sum of `values` [n] over B."""
    return tf.reduce_sum(values) / tf.cast(batch_size(batch), values.dtype)


def labelled(batch: Batch, groups: int) -> Examples:
    """Returns the labelled rows."""
    rows = tf.shape(batch.x)[:1]
    return Examples(
        x=batch.x,
        y=batch.y,
        weight=tf.ones(rows, batch.y.dtype),
        pool=tf.zeros(rows, tf.int32),
        truth=tf.fill(rows, tf.cast(LABELLED, tf.int64)),
        groups=groups,
        trust=batch.trust,
    )


def with_guesses(
    batch: Batch,
    groups: int,
    views: Sequence[tf.Tensor],
    guess: tf.Tensor,
    *,
    weight: tf.Tensor | None = None,
    pool: bool = False,
) -> Examples:
    """Returns the labelled rows and, in each row group behind them, the unlabelled ones.

    Args:
        batch: this replica's rows.
        groups: the number of row groups among them.
        views: of the unlabelled images, [n, H, W, C] each; all are rows.
        guess: the target of an image's views [n, C].
        weight: [n], 0 where the guess is rejected; None is 1 for all.
        pool: whether labelled and unlabelled rows mix with each other; Alg. 2 line 8 builds two
            sets.
    """
    guess = tf.stop_gradient(guess)
    if weight is None:
        weight = tf.ones_like(guess[:, 0])
    guessed_pool = tf.fill(tf.shape(guess)[:1], 0 if pool else 1)
    first, copies = labelled(batch, groups), len(views)
    return Examples(
        x=join(groups, first.x, *views),
        y=join(groups, first.y, *[guess] * copies),
        weight=join(groups, first.weight, *[weight] * copies),
        pool=join(groups, first.pool, *[guessed_pool] * copies),
        truth=join(groups, first.truth, *[batch.u_labels] * copies),
        groups=groups,
    )


def guess_metrics(examples: Examples) -> dict[str, Ratio]:
    """Computes the accepted fraction of the guesses, and the wrong fraction of those known."""
    accepted = examples.guessed & examples.accepted
    known = accepted & (examples.truth >= 0)
    wrong = tf.argmax(examples.y, axis=-1) != examples.truth
    return {
        "accepted": Ratio.mean(examples.accepted, examples.guessed),
        "pseudo_label_error": Ratio.mean(100.0 * tf.cast(wrong, tf.float64), known),
    }
