"""AdaMixUp (Guo, Mao and Zhang 2019), 2-fold, after its code (SITE5039/AdaMixUp)."""

import dataclasses
from typing import ClassVar

import keras
import tensorflow as tf

from tf_metamixup import losses, mixing
from tf_metamixup.core.errors import UserError
from tf_metamixup.distribution import replicas
from tf_metamixup.methods.method import METHODS, Method, Ratio, labelled
from tf_metamixup.mixing import Lambdas


@METHODS.register("adamixup")
@dataclasses.dataclass(frozen=True)
class AdaMixup(Method):
    """Predicts the range of lambda per pair; a discriminator keeps mixtures away from real images.

    Half of the labelled batch is trained on, as it is and mixed within itself; the other half is
    the "unseen" images of the discriminator (there, partners come from the whole batch). For each
    pair the policy region generator gives alpha and Delta, and lambda = alpha + Delta * u, u ~
    U(0, 1). Loss: cross-entropy on mixed and clean rows, and that of the intrusion discriminator:
    mixed, or real (clean and unseen). One joint minimization, nothing adversarial; lambda has its
    gradient through the images alone, the targets are fixed. Goes with policy `none`.

    Attributes:
        discriminator: whether there is one. Without it the generator learns from the
            classification loss alone.
    """

    discriminator: bool = True
    learns_lambda: ClassVar[bool] = True

    def parts(self, model):
        """Builds the policy and its judge: new layers, and the network's own trunk.

        "generator": pair image -> logits of (alpha, Delta, rest), a trunk like the model's own.
        "trunk": images -> (features, logits), the model's own; "intrusion": features -> 2 logits.
        """
        if "features" not in {layer.name for layer in model.layers}:
            raise UserError(
                "adamixup makes its generator and discriminator after the layer named 'features', "
                "whose output [N, D] the logits are a linear function of, and the model has none"
            )
        features = model.get_layer("features").output
        trunk = keras.models.clone_model(keras.Model(model.inputs[0], features))
        hidden = _linear(100, "generator_hidden")(trunk.output)
        parts = {
            "generator": keras.Model(trunk.input, _linear(3, "generator_region")(hidden)),
            "trunk": keras.Model(model.inputs[0], [features, model.outputs[0]]),
        }
        if self.discriminator:
            inputs = keras.Input(features.shape[1:])
            hidden = _linear(10, "intrusion_hidden")(inputs)
            parts["intrusion"] = keras.Model(inputs, _linear(2, "intrusion_logits")(hidden))
        return parts

    def examples(self, forward, batch, clock, groups):
        """Takes the first half of each row group; the second has weight 0, and stays unseen."""
        if batch.x.shape[0] is not None and batch.x.shape[0] < 2 * groups:
            raise UserError("adamixup halves each row group; a batch needs 2 images in each")
        made = labelled(batch, groups)
        rows = tf.shape(made.weight)[0]
        place = tf.range(rows) % (rows // groups)
        first = place < rows // groups // 2
        return made._replace(weight=tf.cast(first, made.weight.dtype))

    def lambdas(self, forward, examples, partner):
        """Computes lambda = alpha + Delta * u, 1 in unseen rows, and metrics of both."""
        first, second = examples.x, tf.gather(examples.x, partner)
        rows, shape = tf.shape(first)[0], tf.shape(first)[1:]
        draws = forward.draws
        noise = [
            draws.normal(f"adamixup/{name}", rows, shape, first.dtype, truncated=True)
            for name in ("first", "second")
        ]
        pairs = (noise[0] * first + noise[1] * second) / 2
        accepted = examples.accepted
        region = forward.part("generator", tf.boolean_mask(pairs, accepted))
        alpha, delta, _ = tf.unstack(tf.nn.softmax(region), axis=1)
        u = tf.boolean_mask(draws.uniform("lambda", rows, dtype=alpha.dtype), accepted)
        lam = tf.tensor_scatter_nd_update(
            tf.ones([rows], alpha.dtype), tf.where(accepted), alpha + delta * u
        )
        return Lambdas.given(lam), {"alpha": Ratio.mean(alpha), "delta": Ratio.mean(delta)}

    def loss(self, forward, mixture, batch, clock):
        """Computes both cross-entropies in one pass over mixed, unseen and clean rows."""
        examples, accepted = mixture.examples, mixture.examples.accepted
        fixed = mixture._replace(lam=tf.stop_gradient(mixture.lam))
        clean = [tf.boolean_mask(values, accepted) for values in (examples.x, examples.y)]
        x, y = (
            mixing.join(examples.groups, *parts)
            for parts in zip((mixture.x, fixed.y), clean, strict=True)
        )
        is_clean = tf.ones_like(clean[1][:, 0], tf.bool)
        is_mixed = mixing.join(examples.groups, accepted, tf.zeros_like(is_clean))
        is_trained_on = mixing.join(examples.groups, accepted, is_clean)
        features, logits = forward.part("trunk", x)
        each = tf.boolean_mask(losses.cross_entropy(y, logits), is_trained_on)
        loss = classification = replicas.global_mean(each)
        share = 1 / replicas.count()
        watched = {"classification_loss": Ratio(classification, share)}
        if self.discriminator:
            real = tf.one_hot(tf.cast(~is_mixed, tf.int32), 2, dtype=logits.dtype)
            answers = forward.part("intrusion", features)
            intrusion = replicas.global_mean(losses.cross_entropy(real, answers))
            loss += intrusion
            watched["intrusion_loss"] = Ratio(intrusion, share)
        return loss, watched


def _linear(units: int, name: str) -> keras.layers.Dense:
    # As for the model's logits: a softmax needs more than half precision.
    dtype = keras.config.dtype_policy().variable_dtype
    initial = keras.initializers.RandomNormal(stddev=1e-3)
    return keras.layers.Dense(units, kernel_initializer=initial, dtype=dtype, name=name)
