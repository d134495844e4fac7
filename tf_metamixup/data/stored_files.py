"""Image files that are read whenever one of them is needed, as if they were an array."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_metamixup.data import image_files


@dataclasses.dataclass(frozen=True, eq=False)
class StoredFiles:
    """Stands for images uint8 [N, H, W, C] that stay in their files."""

    paths: np.ndarray  # of the files, object [N]
    image_shape: tuple[int, int, int]  # (H, W, C) that images are decoded to

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, indices: np.ndarray) -> "StoredFiles":
        """Selects the files at `indices`, int [n]."""
        return StoredFiles(self.paths[indices], self.image_shape)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Reads all images: uint8 [N, H, W, C]."""
        images = np.empty((len(self), *self.image_shape), np.uint8)
        for place, path in enumerate(self.paths):
            images[place] = image_files.read(path, self.image_shape)
        return images if dtype is None else images.astype(dtype)

    def gather(self, positions: tf.Tensor) -> tf.Tensor:
        """Reads the images at `positions`, int [n]: uint8 [n, H, W, C], those of `decode`."""
        # Outside of the pipeline's graph, which would hold several copies of a constant.
        with tf.init_scope(), tf.device("CPU:0"):
            names = tf.constant(self.paths, tf.string)
        paths = tf.gather(names, positions)
        spec = tf.TensorSpec(self.image_shape, tf.uint8)
        return tf.map_fn(self._read, paths, fn_output_signature=spec)

    def _read(self, path: tf.Tensor) -> tf.Tensor:
        def read(name: bytes | np.ndarray) -> np.ndarray:
            return image_files.read(np.asarray(name, object).item().decode(), self.image_shape)

        # By Pillow and not by TensorFlow, whose decoder of JPEG gives other pixels.
        image = tf.numpy_function(read, [path], tf.uint8, stateful=False)
        return tf.ensure_shape(image, self.image_shape)
