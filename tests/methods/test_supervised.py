import numpy as np
import tensorflow as tf

from tf_metamixup import methods
from tf_metamixup.methods.batch import Batch
from tf_metamixup.mixing import Mixture


def test_the_labelled_batch_is_taken_as_it_is_and_its_mean_loss_is_by_hand():
    data = Batch(tf.constant([[0.0, 0.0], [0.0, 1.0]]), tf.constant([[0.5, 0.5], [1.0, 0.0]]))
    method = methods.make("supervised")
    examples = method.examples(None, data, None, 1)
    np.testing.assert_array_equal(examples.x, data.x)
    assert examples.accepted.numpy().all()
    mixture = Mixture(examples, tf.constant([1, 0]), tf.ones(2))
    loss, _ = method.loss(lambda x: x, mixture, data, None)
    np.testing.assert_allclose(loss, (np.log(2) + np.log1p(np.e)) / 2, rtol=1e-6)
