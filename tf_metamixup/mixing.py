"""Eq. 4: which rows are mixed with each other, and the mixture itself."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from tf_metamixup.core.errors import require
from tf_metamixup.core.rng import Draws

# Values of `Examples.truth` that are no class.
UNKNOWN, LABELLED = -1, -2


class Examples(NamedTuple):
    """Holds what a method trains on, before or after mixing.

    Rows are laid out group by group (see `join`), so that a replica's rows are a contiguous slice
    of what one device with as many row groups sees.

    Attributes:
        x: images [N, H, W, C], scaled.
        y: target probabilities [N, C]; no gradient flows into them.
        weight: [N], the row's weight in the loss; 0 is a rejected row.
        pool: int32 [N]; only rows of the same pool are mixed with each other.
        truth: int64 [N], what is known of a row whose target the method guessed: its true class,
            or UNKNOWN; LABELLED for rows that came with a label.
        groups: rows are mixed only within each of `groups` equal, contiguous parts.
        aside: images [n, H, W, C] that a method trains on un-mixed, besides the rows.
        trust: how far the row's label is trusted, [N] in [0, 1]; None where nothing says.
        memory: what the method remembers from this step on, by name.
    """

    x: tf.Tensor
    y: tf.Tensor
    weight: tf.Tensor
    pool: tf.Tensor
    truth: tf.Tensor
    groups: int
    aside: tf.Tensor | None = None
    trust: tf.Tensor | None = None
    memory: Mapping[str, tf.Tensor] = {}

    @property
    def accepted(self) -> tf.Tensor:
        """Returns which rows are trained on, bool [N]."""
        return self.weight > 0

    @property
    def guessed(self) -> tf.Tensor:
        """Returns for which rows the target is a pseudo-label, bool [N]."""
        return self.truth != LABELLED


class Lambdas(NamedTuple):
    """Holds the mixing coefficients of a batch.

    >>> Lambdas.given(tf.constant([0.25, 0.75])).move.numpy().tolist()
    [0.0, 0.0]

    Attributes:
        value: [N] in [0, 1], lambda*.
        start: [N], lambda before the policy learned.
        move: [N], how far learning moved the logits; 0 where nothing is learned.
        pixels: [N, H, W, 1], lambda of each pixel, whose mean is `value`; None where all have that.
    """

    value: tf.Tensor
    start: tf.Tensor
    move: tf.Tensor
    pixels: tf.Tensor | None = None

    @classmethod
    def given(cls, value: tf.Tensor, pixels: tf.Tensor | None = None) -> "Lambdas":
        """Makes a lambda that was not learned."""
        return cls(value, value, tf.zeros_like(value), pixels)

    def map(self, function: Callable[[tf.Tensor], tf.Tensor]) -> "Lambdas":
        """Applies `function` to each part that is not None."""
        return Lambdas(*(part if part is None else function(part) for part in self))

    def where(self, mixes: tf.Tensor) -> "Lambdas":
        """Returns these lambdas where `mixes`, bool scalar, is true, and else 1, unmoved."""
        or_one = self.map(lambda part: tf.where(mixes, part, 1))
        return or_one._replace(move=tf.where(mixes, self.move, 0))


class Mixture(NamedTuple):
    """Holds examples, their mixing partners and their mixing coefficients.

    Attributes:
        examples: un-mixed.
        partner: int [N], the row j of each row i.
        lam: [N] in [0, 1].
        pixels: [N, H, W, 1], lambda of each pixel of the images; None where it is `lam` everywhere.
    """

    examples: Examples
    partner: tf.Tensor
    lam: tf.Tensor
    pixels: tf.Tensor | None = None

    @property
    def x(self) -> tf.Tensor:
        """Returns the mixed images [N, H, W, C]."""
        lam = self.lam if self.pixels is None else self.pixels
        return mix(self.examples.x, self.partner, lam)

    @property
    def y(self) -> tf.Tensor:
        """Returns the mixed targets [N, C]."""
        return self.of(self.examples.y)

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """Mixes `values` [N, ...] of the rows."""
        return mix(values, self.partner, self.lam)


class Sample(NamedTuple):
    """Holds some mixed rows of a step, for visualization.

    Attributes:
        x_i, x_j: the scaled images of a row and of its partner, [n, H, W, C].
        x: what they are mixed to, [n, H, W, C].
        y_i, y_j: their targets, [n, classes].
        lam: x_i's share, [n].
        accepted: whether the row is trained on, [n].
        guessed: whether the method guessed its target, [n].
    """

    x_i: tf.Tensor
    x_j: tf.Tensor
    x: tf.Tensor
    y_i: tf.Tensor
    y_j: tf.Tensor
    lam: tf.Tensor
    accepted: tf.Tensor
    guessed: tf.Tensor

    @classmethod
    def spec(cls, image_shape: tuple, classes: int) -> "Sample":
        """Returns the specs of a sample: float32 but for the last two, any number of rows.

        Args:
            image_shape: (None, H, W, C), of what the model takes.
            classes: how many there are.
        """
        image, target = tf.TensorSpec(image_shape), tf.TensorSpec([None, classes])
        truth = tf.TensorSpec([None], tf.bool)
        return cls(image, image, image, target, target, tf.TensorSpec([None]), truth, truth)


def join(groups: int, *parts: tf.Tensor) -> tf.Tensor:
    """Concatenates batches [n_k, ...] within each row group: [sum of n_k, ...]."""
    grouped = [tf.reshape(p, tf.concat([[groups, -1], tf.shape(p)[1:]], 0)) for p in parts]
    joined = tf.concat(grouped, axis=1)
    return tf.reshape(joined, tf.concat([[-1], tf.shape(joined)[2:]], 0))


def permutation_groups(examples: Examples) -> tf.Tensor:
    """Numbers the sets of rows that may be permuted among themselves: int32 [N].

    Those are the rows of one row group and pool, accepted and rejected ones apart.
    """
    rows = tf.shape(examples.weight)[0]
    group = tf.range(rows) * examples.groups // rows
    pools = tf.reduce_max(examples.pool) + 1
    return (group * pools + examples.pool) * 2 + tf.cast(examples.accepted, tf.int32)


def order(*keys: tf.Tensor) -> tf.Tensor:
    """Returns the rows, int32 [N], sorted by the first key [N], then the second, and so on."""
    rows = tf.range(tf.shape(keys[0])[0])
    for key in reversed(keys):
        rows = tf.gather(rows, tf.argsort(tf.gather(key, rows), stable=True))
    return rows


def shuffled(groups: tf.Tensor, draws: Draws, purpose: str) -> tf.Tensor:
    """Draws a random permutation within each of the permutation groups: int32 [N]."""
    rows = tf.shape(groups)[0]
    takes = order(groups, draws.uniform(purpose, rows))
    return tf.scatter_nd(tf.argsort(groups, stable=True)[:, None], takes, [rows])


def pairs(examples: Examples, draws: Draws) -> tf.Tensor:
    """Draws partner j of every row i: int32 [N], a random permutation of the accepted rows.

    Rows change places within their row group and pool only. A rejected row is its own partner,
    so that lambda has no effect on it (Alg. 2 line 3, "eliminated from back propagation").

    >>> weight, zeros = tf.constant([1.0, 1.0, 0.0]), tf.zeros(3, tf.int32)
    >>> examples = Examples(tf.eye(3), tf.eye(3), weight, zeros, tf.fill([3], LABELLED), groups=1)
    >>> partner = pairs(examples, Draws.at(0, tf.constant(0))).numpy().tolist()
    >>> sorted(partner[:2]), partner[2]
    ([0, 1], 2)
    """
    partner = shuffled(permutation_groups(examples), draws, "pairs")
    return tf.where(examples.accepted, partner, tf.range(tf.shape(partner)[0]))


def mix(values: tf.Tensor, partner: tf.Tensor, lam: tf.Tensor) -> tf.Tensor:
    """Mixes by eq. 4, lam_i * v_i + (1 - lam_i) * v_j, images and targets alike.

    Args:
        values: [N, ...].
        partner: int [N], the row j of each row i.
        lam: [N] in [0, 1], or [N, H, W, 1] for images: one for each pixel.

    Returns:
        [N, ...], differentiable in `lam` (and twice so in the network behind it).

    Raises:
        UserError: `values` are integers, of which no lambda between 0 and 1 is one.

    >>> images = tf.constant([[0.0], [1.0]])
    >>> mix(images, partner=tf.constant([1, 0]), lam=tf.constant([0.75, 0.75])).numpy().tolist()
    [[0.25], [0.75]]
    """
    values, lam = tf.convert_to_tensor(values), tf.convert_to_tensor(lam)
    kind = values.dtype
    require(kind.is_floating, f"mix: values of type {kind.name}", "be floats: cast or scale them")
    missing = tf.ones(len(values.shape) - len(lam.shape), tf.int32)
    lam = tf.reshape(lam, tf.concat([tf.shape(lam), missing], 0))
    lam = tf.cast(lam, values.dtype)
    return lam * values + (1 - lam) * tf.gather(values, partner)
