"""CutMix (Yun et al. 2019): a rectangle of one image in the other, as its code draws it."""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tf_metamixup.core.errors import require
from tf_metamixup.core.rng import Draws
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies.policy import POLICIES, Policy, Task, check_alpha


@POLICIES.register("cutmix")
@dataclasses.dataclass(frozen=True)
class CutMix(Policy):
    """Pastes a rectangle of the partner; lambda is the fraction of the pixels that stay.

    The rectangle's area is 1 - u of the image's, u ~ Beta(alpha, alpha), before what of it lies
    outside is cut off; lambda is what was left of the image. One rectangle per batch, as in the
    code (clovaai/CutMix-PyTorch), or one per example.
    """

    alpha: float = 1.0
    per_sample: bool = False
    pastes: ClassVar[bool] = True

    def __post_init__(self):
        check_alpha("cutmix", self.alpha)

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Draws at each step: [N], and [N, H, W, 1] of ones and zeros."""
        return task.given(*pasted(task, draws, self.alpha, self.per_sample))


@POLICIES.register("mixup_cutmix")
@dataclasses.dataclass(frozen=True)
class MixUpCutMix(Policy):
    """Draws which of MixUp and CutMix mixes: timm's `Mixup`, with the values of DeiT.

    Attributes:
        alpha: of MixUp's Beta (0.8).
        cutmix_alpha: of CutMix's (1.0).
        switch: the probability of CutMix (0.5).
        per_sample: whether each example has a draw of its own, of lambda and of which; else the
            batch has one.
    """

    alpha: float = 0.8
    cutmix_alpha: float = 1.0
    switch: float = 0.5
    per_sample: bool = False
    pastes: ClassVar[bool] = True

    def __post_init__(self):
        check_alpha("mixup_cutmix", self.alpha)
        check_alpha("mixup_cutmix", self.cutmix_alpha, "cutmix_alpha")
        switch = self.switch
        require(0 <= switch <= 1, f"policy mixup_cutmix: switch={switch}", "lie in [0, 1]")

    def __call__(self, task: Task, draws: Draws) -> Lambdas:
        """Draws at each step: [N], and [N, H, W, 1], the same in each pixel where MixUp."""
        source, rows = _source(task, draws, self.per_sample)
        lam = _per_row(source.beta("lambda", rows, self.alpha, task.dtype), task)
        cuts = _per_row(source.uniform("switch", rows, dtype=task.dtype), task) < self.switch
        area, pixels = pasted(task, draws, self.cutmix_alpha, self.per_sample)
        mixed = tf.where(cuts[:, None, None, None], pixels, lam[:, None, None, None])
        return task.given(tf.where(cuts, area, lam), mixed)


def pasted(task: Task, draws: Draws, alpha: float, per_sample: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws rectangles; returns what `outside` does of them."""
    source, rows = _source(task, draws, per_sample)
    sides = tf.sqrt(1 - _per_row(source.beta("cutmix", rows, alpha, task.dtype), task))
    center = _per_row(source.uniform("rectangle", rows, (2,), task.dtype), task)
    return outside(sides, center, task.image_size)


def outside(sides: tf.Tensor, center: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the fraction outside of rectangles, [N], and 1 there and 0 inside, [N, H, W, 1].

    Args:
        sides: [N], of the rectangles as shares of those of the image.
        center: [N, 2] in [0, 1), shares of height and width.
        size: int [2], height and width.
    """
    along = []
    for length, middle in zip(tf.unstack(size, 2), tf.unstack(center, 2, axis=1), strict=True):
        half = tf.cast(tf.cast(length, sides.dtype) * sides, tf.int32) // 2
        place = tf.cast(tf.cast(length, sides.dtype) * middle, tf.int32)
        pixels = tf.range(length)
        along.append((pixels >= (place - half)[:, None]) & (pixels < (place + half)[:, None]))
    inside = along[0][:, :, None] & along[1][:, None, :]
    kept = tf.cast(~inside, sides.dtype)[..., None]
    return tf.reduce_mean(kept, axis=(1, 2, 3)), kept


def _source(task: Task, draws: Draws, per_sample: bool):
    """Returns the draws, and the number of rows they are for."""
    return (draws, task.rows) if per_sample else (draws.shared(), 1)


def _per_row(drawn: tf.Tensor, task: Task) -> tf.Tensor:
    """Returns draws of a batch, [1, ...], for each of its rows, [N, ...]; those of rows as is."""
    return tf.repeat(drawn, task.rows // tf.shape(drawn)[0], axis=0)
