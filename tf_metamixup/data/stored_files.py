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

    def gather(self, positions: tf.Tensor) -> tf.Tensor:
        """Reads the images at `positions`, int [n]: uint8 [n, H, W, C], those of `decode`."""
        with tf.device("CPU:0"):
            paths = tf.gather(tf.constant(self.paths, tf.string), positions)
        spec = tf.TensorSpec(self.image_shape, tf.uint8)
        return tf.map_fn(self._read, paths, fn_output_signature=spec)

    def _read(self, path: tf.Tensor) -> tf.Tensor:
        channels = self.image_shape[2]
        image = tf.numpy_function(_pixels, [path, channels], tf.uint8, stateful=False)
        image.set_shape([None, None, channels])
        image = tf.cond(
            tf.reduce_all(tf.shape(image) == self.image_shape),
            lambda: image,
            lambda: image_files.resize(image, self.image_shape[:2]),
        )
        return tf.ensure_shape(image, self.image_shape)


def _pixels(path: bytes | np.ndarray, channels: int) -> np.ndarray:
    # By Pillow and not by TensorFlow, whose decoder of JPEG gives other pixels.
    name = np.asarray(path, object).item().decode()
    return image_files.pixels(image_files.load(name), name, int(channels))
