"""`digits`: 8x8 images that come with the package, so that a first run needs nothing else.

The file is scikit-learn's copy of the test set of "Optical Recognition of Handwritten Digits"
(E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0).
"""

import pathlib

import numpy as np

from tf_metamixup.data import image_files, splits
from tf_metamixup.data.images import InMemory, Source, require_fits

_FILE = pathlib.Path(__file__).with_suffix(".csv.gz")


def load(size: int | None) -> Source:
    """Loads the images, resized to size x size where `size` is given."""
    table = np.loadtxt(_FILE, np.uint8, delimiter=",")  # [1797, 64 pixels from 0 to 16 and a label]
    images = np.round(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    names = [str(digit) for digit in range(10)]
    if size not in (None, images.shape[1]):
        require_fits(f"digits: --image_size={size}", len(images), (size, size, 1))
        images = image_files.resize(images, (size, size)).numpy()
    # The same for every run: the constant is no run's seed. 36 of each class are a fifth.
    parts = splits.make(labels, names, seed=0, num_meta=360)

    whole = InMemory(images, labels)
    train, test = whole.keep(parts.labelled), whole.keep(parts.meta)
    return Source("digits", names, images.shape[1:], flip=False, train=train, test=test)
