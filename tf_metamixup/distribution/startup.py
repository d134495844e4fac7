"""How TensorFlow starts: on its backend, and without what it prints."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from tf_metamixup.core import keras_backend
from tf_metamixup.core.errors import UserError


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for GPUs; what it prints is hidden unless that fails.

    Raises:
        BackendError: Keras runs on another backend.
    """
    keras_backend.require_tensorflow()
    with quiet():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what TensorFlow prints as it loads, looks for GPUs or converts, unless that fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Else every step on a CPU gives its memory back to the kernel and takes it again, which costs
    # as much as the arithmetic (measured: 155 ms against 80 ms for a small network).
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    with tempfile.TemporaryFile() as hidden:
        stderr = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except UserError:  # which says what there is to say
            raise
        except Exception:
            hidden.seek(0)
            os.write(stderr, hidden.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
