"""Manifold MixUp (Verma et al. 2019), with the layers of its code (vikasverma1077)."""

import dataclasses
import itertools
from typing import ClassVar

import keras
import tensorflow as tf

from tf_metamixup import losses
from tf_metamixup.core.errors import UserError, require
from tf_metamixup.methods.method import METHODS, Method, over_batch


@METHODS.register("manifold_mixup")
@dataclasses.dataclass(frozen=True)
class ManifoldMixup(Method):
    """Mixes at a layer chosen at random at each step: the input or the end of a stage.

    The published row is `--policy=beta(2.0)`; with `--policy=meta` lambda is learned at that layer.

    Attributes:
        layers: from how many it is drawn: the input and the first layers - 1 stages (the code: the
            input and the ends of the first two stages of a residual network).
    """

    layers: int = 3
    mixes_hidden: ClassVar[bool] = True

    def __post_init__(self):
        require(self.layers >= 1, f"manifold_mixup: layers={self.layers}", "be at least 1")

    def parts(self, model):
        """Splits the network at the ends of its first stages: "segment0", "segment1", ..."""
        names = [f"stage{number}" for number in range(1, self.layers)]
        missing = set(names) - {layer.name for layer in model.layers}
        if missing:
            raise UserError(
                f"manifold_mixup(layers={self.layers}) mixes at the outputs of layers named "
                f"{', '.join(names)}, and the model has no {', '.join(sorted(missing))}"
            )
        stages = [model.get_layer(name).output for name in names]
        # Not `input` and `output`, which a Sequential has only once it was called by itself.
        cuts = [model.inputs[0], *stages, model.outputs[0]]
        return {
            f"segment{number}": keras.Model(*ends)
            for number, ends in enumerate(itertools.pairwise(cuts))
        }

    def loss(self, forward, mixture, batch, clock):
        """Computes cross-entropy over B; the targets are mixed by the same lambda."""
        drawn = forward.draws.shared().integers("layer", 1, 0, self.layers)[0]
        hidden = mixture.examples.x
        for number in range(self.layers):
            # A lambda of 1 leaves the other layers as they are, without a branch in the graph.
            here = tf.cast(drawn == number, mixture.lam.dtype)
            hidden = mixture._replace(lam=1 - here * (1 - mixture.lam)).of(hidden)
            hidden = forward.part(f"segment{number}", hidden)
        each = losses.cross_entropy(mixture.y, hidden)
        return over_batch(mixture.examples.weight * each, batch), {}
