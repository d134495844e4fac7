"""The interface of interpolation policies, and what a step gives them.

A policy sees a `Task` and nothing else, so that every policy serves every method.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import tensorflow as tf

from tf_metamixup.core.errors import UserError, require
from tf_metamixup.core.registry import Registry
from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Lambdas

POLICIES = Registry(
    "policy",
    removed={
        "meta_net": "use meta",
        "meta.matched": "leave it out",
        "meta.reflect": "leave it out: lambda is clipped at 1/2",
    },
    aliases={
        "metamixup": "'meta', or for the paper's row \"meta(estimator='nested')\"",
        "learned": "'meta'",
        "mixup": "'beta'",
        "uniform": "'beta'",
        "baseline": "'none'",
        "false": "'none'",
        "off": "'none'",
        "no": "'none'",
        "constant": "'fixed'",
        "adamixup": "method 'adamixup' with policy 'none'",
        "manifoldmixup": "method 'manifold_mixup' with policy 'beta(2.0)'",
        "mixmatch": "method 'mixmatch' with policy 'beta(0.75, per_sample=True)'",
        "pseudolabel": "method 'pseudo_label'",
        "apl": "method 'pseudo_label(decay=0.05)'",
        "vat": "method 'vat' with policy 'none'",
    },
)


class Task(NamedTuple):
    """Holds the inputs of a policy at one step.

    Attributes:
        theta: the network's weights.
        inner: (theta, lam) -> this replica's summand of the training loss of the mixed batch.
        outer: (theta) -> this replica's summand of the meta loss; None without a meta set.
        learning_rate: scalar, eta.
        accepted: bool [N], the rows that are trained on.
        batch_size: the global number of rows that the training loss is divided by.
        fold_lambda: whether lambda stays at 1/2 or above (MixMatch): max(lambda, 1 - lambda).
        head: which of `theta` are the weights of the network's head; see `models.head`.
        permutation_groups: int [N]; see `mixing.permutation_groups`.
        trained: which of `theta` are trained at this step; None for all.
        partner: int [N], the row that each row is mixed with.
        trust: how far each row's label is trusted, [N]; None without an audit.
        image_size: int32 [2], height and width of the images.
    """

    theta: list[tf.Tensor]
    inner: Callable[[list[tf.Tensor], tf.Tensor], tf.Tensor]
    outer: Callable[[list[tf.Tensor]], tf.Tensor] | None
    learning_rate: tf.Tensor
    accepted: tf.Tensor
    batch_size: tf.Tensor
    fold_lambda: bool = False
    head: tuple[int, ...] = ()
    permutation_groups: tf.Tensor | None = None
    trained: tuple[int, ...] | None = None
    partner: tf.Tensor | None = None
    trust: tf.Tensor | None = None
    image_size: tf.Tensor | None = None

    @property
    def rows(self) -> tf.Tensor:
        """Returns N, the number of local rows."""
        return tf.shape(self.accepted)[0]

    @property
    def dtype(self) -> tf.DType:
        """Returns the precision in which lambda is computed."""
        return self.theta[0].dtype

    def given(self, lam: tf.Tensor, pixels: tf.Tensor | None = None) -> Lambdas:
        """Returns a lambda [N] that is not learned, folded where the method asks for it.

        Args:
            lam: [N].
            pixels: [N, H, W, 1]; see `Lambdas`.
        """
        if not self.fold_lambda:
            return Lambdas.given(lam, pixels)
        if pixels is not None:
            pixels = tf.where((lam < 0.5)[:, None, None, None], 1 - pixels, pixels)
        return Lambdas.given(tf.maximum(lam, 1 - lam), pixels)


class Policy:
    """Defines how lambda is chosen: a frozen dataclass whose fields are its hyper-parameters.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Half(Policy):
    ...     def __call__(self, task, draws):
    ...         return task.given(tf.fill([task.rows], tf.cast(0.5, task.dtype)))
    >>> task = Task([tf.ones(3)], None, None, 0.1, accepted=tf.fill([2], True), batch_size=2)
    >>> Half()(task, draws=None).value.numpy().tolist()
    [0.5, 0.5]

    Attributes:
        reads_meta: whether it learns from the meta set; such a policy has `initial_logits` and
            `gradient` as `Meta` has them.
        reads_trust: whether it needs `Task.trust`.
        mixes: whether its lambda is ever other than 1.
        pastes: whether the pixels of an image have a lambda each.
        caches_features: whether its meta loss is that of the whole meta set, from cached features,
            which are computed every `refresh` steps.
    """

    reads_meta: ClassVar[bool] = False
    reads_trust: ClassVar[bool] = False
    mixes: ClassVar[bool] = True
    pastes: ClassVar[bool] = False
    caches_features: ClassVar[bool] = False

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Returns lambda, in [0, 1], for each row of the batch."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__")


def valid_lambdas(policy: Policy, lambdas: Lambdas, task: Task) -> Lambdas:
    """Returns the `lambdas` that `policy` gave for `task`.

    Raises:
        UserError: they are something else than one number per row.
    """
    right = isinstance(lambdas, Lambdas) and tf.is_tensor(lambdas.value)
    # Of a batch of unknown size, one number for all rows is what can be told from one each.
    rows = task.accepted.shape[0]
    right = right and lambdas.value.shape.is_compatible_with([rows])
    right = right and (rows is not None or lambdas.value.shape.as_list() != [1])
    require(right, f"what policy {policy} returns", "be task.given(lam) with lam of shape [N]")
    return lambdas


def check(policy: Policy, method, *, mix_until: float = 1.0, rank: int = 4) -> None:
    """Refuses a policy that does not support a method or the fraction of the run that is mixed.

    Args:
        policy: the policy.
        method: a `methods.Method`.
        mix_until: the fraction of the run that is mixed.
        rank: number of axes of a batch of images.
    """
    if not 0 < mix_until <= 1:
        raise UserError(f"mix_until={mix_until} must lie in (0, 1]; policy none never mixes")
    if mix_until < 1 and not (policy.mixes or method.learns_lambda):
        raise UserError(f"mix_until={mix_until} has no effect: policy {policy} never mixes")
    if policy.pastes and rank != 4:
        raise UserError(f"policy {policy} pastes parts of images [N, H, W, C]")
    if method.learns_lambda and mix_until < 1:
        raise UserError(
            f"mix_until={mix_until} does not go with a method that learns lambda itself, whose "
            "loss is about mixed images; leave it out"
        )
    if policy.reads_trust and not method.trusts:
        raise UserError(
            f"policy {policy} mixes by how far labels are trusted, which methods audit and "
            "small_loss say; use it with --method=audit or small_loss, or policy beta"
        )
    if policy.pastes and method.mixes_hidden:
        raise UserError(
            f"policy {policy} pastes parts of images, and the method mixes hidden layers too; use "
            "policy beta"
        )
    if method.learns_lambda and policy.mixes:
        raise UserError(
            f"the method learns lambda itself, so policy {policy} would have no effect; use none"
        )


def check_meta_stage(policy: Policy, option: str) -> None:
    """Refuses an option that is about the meta stage where a policy has none."""
    if not policy.reads_meta:
        raise UserError(f"{option} has no effect: the policy has no meta stage")


def check_alpha(policy: str, alpha: float, option: str = "alpha") -> None:
    """Refuses a parameter of Beta(alpha, alpha) that cannot be sampled in float64."""
    require(0.01 <= alpha <= 100, f"policy {policy}: {option}={alpha}", "lie in [0.01, 100]")
