"""Per-example losses of shape [N], without reduction."""

import tensorflow as tf


def cross_entropy(probs: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes cross-entropy of `logits` [N, C] against probabilities `probs` [N, C]: [N].

    Twice differentiable in both arguments. `tf.nn.softmax_cross_entropy_with_logits` and Keras's
    losses are not used because their registered gradient drops the label term of the second
    derivative, so that lambda's gradient is silently wrong (tensorflow#26495).

    Raises:
        ValueError: the numbers of classes differ; [N, 1] would be broadcast.

    >>> cross_entropy(tf.constant([[0.5, 0.5]]), tf.constant([[0.0, 0.0]])).numpy().round(4)
    array([0.6931], dtype=float32)
    """
    logits = tf.convert_to_tensor(logits)
    probs = tf.convert_to_tensor(probs, logits.dtype)
    probs.shape[-1:].assert_is_compatible_with(logits.shape[-1:])
    return -tf.reduce_sum(probs * tf.nn.log_softmax(logits), axis=-1)


def forward_corrected(likelihood: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes -log(sum_k likelihood_k softmax(logits)_k), both [N, C]: [N].

    The forward correction of Patrini et al. (2017), with P(given label | class k) for each k; of a
    one-hot `likelihood` it is the cross-entropy. Twice differentiable in `logits`.

    >>> forward_corrected(tf.constant([[0.8, 0.4]]), tf.constant([[0.0, 0.0]])).numpy().round(4)
    array([0.5108], dtype=float32)
    """
    return -tf.reduce_logsumexp(tf.nn.log_softmax(logits) + tf.math.log(likelihood), axis=-1)


def squared_error(probs: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes the mean over classes of (probs - softmax(logits))^2, both [N, C]: [N].

    The consistency loss of Pi-Model, Mean Teacher (as in Oliver et al. 2018) and MixMatch.

    >>> squared_error(tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 0.0]])).numpy()
    array([0.25], dtype=float32)
    """
    return tf.reduce_mean((probs - tf.nn.softmax(logits)) ** 2, axis=-1)


def kl_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Computes KL(softmax(logits) || softmax(other)), for logits [N, C]: [N].

    >>> kl_divergence(tf.constant([[1.0, 2.0]]), tf.constant([[1.0, 2.0]])).numpy()
    array([0.], dtype=float32)
    """
    log_p, log_q = tf.nn.log_softmax(logits), tf.nn.log_softmax(other)
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def entropy(logits: tf.Tensor) -> tf.Tensor:
    """Computes the entropy of softmax(logits [N, C]) in nats: [N].

    >>> entropy(tf.constant([[0.0, 0.0]])).numpy().round(4)
    array([0.6931], dtype=float32)
    """
    return cross_entropy(tf.nn.softmax(logits), logits)
