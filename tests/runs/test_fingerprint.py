import numpy as np
import tensorflow as tf

from tf_metamixup.runs.fingerprint import fingerprint

IMAGES = np.arange(48, dtype=np.uint8).reshape(6, 2, 4, 1)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def batches(images=IMAGES, labels=LABELS, size=4):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(size)


def test_neither_order_nor_batches_nor_the_type_of_labels_change_it():
    order = [3, 1, 5, 0, 2, 4]
    expected = fingerprint([(IMAGES, LABELS)])
    assert fingerprint(batches()) == expected
    assert fingerprint(batches(IMAGES[order], LABELS[order].astype(np.float32), 1)) == expected


def test_one_label_one_pixel_or_one_image_less_changes_it():
    pixel, label = IMAGES.copy(), LABELS.copy()
    pixel[3, 1, 2, 0] += 1
    label[3] = 1
    swapped = LABELS[[1, 0, 2, 3, 4, 5]]  # the same images and labels, in other pairs
    others = [(pixel, LABELS), (IMAGES, label), (IMAGES, swapped), (IMAGES[1:], LABELS[1:])]
    assert len({fingerprint([each]) for each in [*others, (IMAGES, LABELS)]}) == 5
