"""`digits`: the 8x8 images that scikit-learn ships, which need no download."""

import numpy as np

from tf_metamixup.data import image_files, splits
from tf_metamixup.data.images import InMemory, Source


def load(size: int | None) -> Source:
    """Loads the images, resized to size x size where `size` is given."""
    from sklearn.datasets import load_digits  # here, since it takes a second to import

    digits = load_digits()
    images = np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    if size not in (None, images.shape[1]):
        images = image_files.resize(images, (size, size)).numpy()
    labels = digits.target.astype(np.int64)
    # The same for every run: the constant is no run's seed. 36 of each class are a fifth.
    names = [str(name) for name in digits.target_names]
    parts = splits.make(labels, names, seed=0, num_meta=360)

    def part(indices: np.ndarray) -> InMemory:
        return InMemory(images[indices], labels[indices])

    return Source(
        "digits",
        names,
        images.shape[1:],
        flip=False,
        train=part(parts.labelled),
        test=part(parts.meta),
    )
