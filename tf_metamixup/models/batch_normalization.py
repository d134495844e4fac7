"""BatchNorm as Keras's layer has it, of few operations and with two derivatives.

Ioffe and Szegedy (2015). Keras 3 composes it of a dozen operations on whole activations, which take
three times as long on a CPU as oneDNN's, and so does TensorFlow with the second derivative.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tf_metamixup")
class BatchNormalization(keras.layers.BatchNormalization):
    """Normalizes as Keras's layer does, on CPUs by a fused operation while it trains.

    Not fused, and Keras's own: float64, statistics that are pooled over replicas, other than images
    [N, H, W, C] normalized over their last axis, a layer without gamma or beta, and GPUs, on which
    it was never measured.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalizes images, and assigns the moving statistics; see Keras."""
        if not (training and self.trainable and mask is None and self._is_fused(inputs)):
            return super().call(inputs, training, mask)
        gamma, beta, *moving = (
            tf.cast(tf.convert_to_tensor(variable), "float32")
            for variable in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        outputs, *found = batch_norm(inputs, gamma, beta, self.epsilon)
        for variable, before, now in zip(
            (self.moving_mean, self.moving_variance), moving, found, strict=True
        ):
            variable.assign(before + (now - before) * (1 - self.momentum))
        return outputs

    def _is_fused(self, inputs: tf.Tensor) -> bool:
        plain = self.scale and self.center and self.axis in (-1, 3) and not self.synchronized
        images = len(inputs.shape) == 4 and inputs.dtype in ("float32", "bfloat16")
        return plain and images and not tf.config.list_physical_devices("GPU")


def batch_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float):
    """Computes gamma * (x - mean) / sqrt(variance + epsilon) + beta over N, H and W.

    Derivatives of the first and the second order in `x`, `gamma` and `beta` are exact; those of
    the mean and the variance are left out, since nothing trains on moving statistics.

    Args:
        x: float32 or bfloat16 [N, H, W, C].
        gamma: float32 [C].
        beta: float32 [C].
        epsilon: above zero.

    Returns:
        The normalized images, their mean and their (biased) variance, float32 [C].
    """
    none = tf.constant([])
    y, mean, _, *reserved = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon
    )
    variance = reserved[1]

    # Of one output: TensorFlow makes a tensor of zeros for each that no gradient comes through.
    @tf.custom_gradient
    def normalized(x, gamma, beta):

        def gradient(upstream):
            return _backward(x, gamma, upstream, mean, variance, reserved, epsilon)

        return y, gradient

    return normalized(x, gamma, beta), mean, variance


def _backward(x, gamma, upstream, mean, variance, reserved, epsilon: float):
    """Computes the gradients in x, gamma and beta of sum(upstream * y).

    With z = (x - mean) / s, s = sqrt(variance + epsilon), and means over all rows:
    dx = gamma / s * (upstream - mean(upstream) - z * mean(upstream * z)).
    """

    def of(upstream, gamma):
        places = {f"reserve_space_{place}": value for place, value in enumerate(reserved, 1)}
        return tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=upstream, x=x, scale=gamma, **places, epsilon=epsilon
        )[:3]

    @tf.custom_gradient
    def gradients(x, gamma, upstream):
        dx, dgamma, dbeta = of(upstream, gamma)

        def second(u, u_gamma, u_beta):
            """Differentiates sum(u dx) + sum(u_gamma dgamma) + sum(u_beta dbeta)."""
            # The map from upstream to dx is its own adjoint.
            adjoint, u_z, u_sum = of(u, gamma)
            rows = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
            u_mean, u_z, d_mean, d_z = (each / rows for each in (u_sum, u_z, dbeta, dgamma))
            product = tf.reduce_mean(tf.cast(u * upstream, tf.float32), [0, 1, 2])
            both = u_z * d_z
            apart = product - u_mean * d_mean - both
            # In x: a sum of x, u and upstream with a factor for each channel.
            scale = tf.math.rsqrt(variance + epsilon)  # 1 / s
            slope, curve = scale * u_gamma, gamma * tf.square(scale)
            of_u, of_upstream = -curve * d_z, slope - curve * u_z
            of_x = -scale * (curve * (apart - 2 * both) + slope * d_z)
            in_x = _sum(
                (of_x, x),
                (of_u, u),
                (of_upstream, upstream),
                constant=-(of_u * u_mean + of_upstream * d_mean + of_x * mean),
            )
            in_upstream = adjoint + _sum((slope, x), constant=u_beta - slope * mean)
            return in_x, scale * rows * apart, in_upstream

        return (dx, dgamma, dbeta), second

    return gradients(x, gamma, upstream)


def _sum(*terms: tuple[tf.Tensor, tf.Tensor], constant: tf.Tensor) -> tf.Tensor:
    """Adds images, each times its factor [C], and a constant [C], in the images' type."""
    dtype = terms[0][1].dtype
    parts = [tf.cast(factor, dtype) * images for factor, images in terms]
    return tf.add_n(parts) + tf.cast(constant, dtype)
