import numpy as np
import tensorflow as tf

from tf_metamixup.mixing import UNKNOWN
from tf_metamixup.remembered_losses import RememberedLosses


def test_an_image_has_the_loss_of_its_last_visit():
    remembered = RememberedLosses(4, start=2.5, dtype="float32")
    np.testing.assert_allclose(remembered.of(tf.constant([0, 3], tf.int64)), [2.5, 2.5])
    remembered.remember(tf.constant([1, 3], tf.int64), tf.constant([0.5, 0.25]))
    remembered.remember(tf.constant([3], tf.int64), tf.constant([0.75]))
    np.testing.assert_allclose(
        remembered.of(tf.constant([0, 1, 2, 3], tf.int64)), [2.5, 0.5, 2.5, 0.75]
    )


def test_an_image_that_is_there_twice_has_the_mean():
    remembered = RememberedLosses(3, start=0.0, dtype="float32")
    remembered.remember(tf.constant([2, 0, 2], tf.int64), tf.constant([1.0, 5.0, 2.0]))
    np.testing.assert_allclose(remembered.of(tf.constant([0, 1, 2], tf.int64)), [5.0, 0.0, 1.5])


def test_images_without_a_number_are_as_if_never_seen():
    remembered = RememberedLosses(2, start=0.7, dtype="float32")
    unknown = tf.constant([UNKNOWN, 1], tf.int64)
    remembered.remember(unknown, tf.constant([9.0, 3.0]))
    np.testing.assert_allclose(remembered.of(unknown), [0.7, 3.0])
    np.testing.assert_allclose(remembered.of(tf.constant([0], tf.int64)), [0.7])
