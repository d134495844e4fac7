"""Where training runs: the devices of this process, or those of all workers of a job."""

import json
import os
import signal
import threading

import keras
import tensorflow as tf

from tf_metamixup.core.errors import UserError, explained
from tf_metamixup.distribution import rendezvous


def make_strategy(replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes the strategy of the job that TF_CONFIG describes, or else `local_strategy`.

    Every worker of a job takes the GPUs of its process, all or `replicas` of them.

    Raises:
        UserError: more replicas than GPUs, a TF_CONFIG that makes no sense, an address in use,
            workers that do not come.
    """
    addresses, own = _job(os.environ.get("TF_CONFIG"))
    if len(addresses) <= 1:
        return local_strategy(replicas)
    gpus = _gpus(replicas)
    if gpus:
        tf.config.set_visible_devices(gpus, "GPU")
    elif (replicas or 1) > 1:
        raise UserError(f"--replicas={replicas}: without a GPU, a worker of a job has one replica")
    rendezvous.await_workers(addresses, own)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    what = f"this process cannot join the workers {', '.join(addresses)} of TF_CONFIG"
    try:
        with explained(what, tf.errors.OpError, RuntimeError, ValueError):
            return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        # TensorFlow takes SIGTERM for itself, and drops it.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def local_strategy(replicas: int | None = None) -> tf.distribute.MirroredStrategy:
    """Makes a MirroredStrategy over all GPUs, or `replicas` of them, or logical CPU devices.

    Raises:
        UserError: more replicas than GPUs.
    """
    gpus = _gpus(replicas)
    count = replicas or len(gpus) or 1
    if not gpus and count > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(count)])


def strategy_of(model: keras.Model) -> tf.distribute.Strategy:
    """Returns the strategy in whose scope the model was built; it has trainable variables."""
    first = model.trainable_variables[0].value
    return getattr(first, "distribute_strategy", tf.distribute.get_strategy())


def _gpus(replicas: int | None) -> list:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and (replicas or 1) > len(gpus):
        raise UserError(f"--replicas={replicas} must be at most {len(gpus)}, the number of GPUs")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return gpus[:replicas]


def _job(text: str | None) -> tuple[list[str], int]:
    """Reads (host:port of all workers, this process's index) from the content of TF_CONFIG."""
    try:
        content = json.loads(text or "{}")
        cluster, task = content.get("cluster", {}), content.get("task", {})
        tasks = {
            (kind, number): address
            for kind in ("chief", "worker")
            for number, address in enumerate(cluster.get(kind, []))
        }
        addresses = list(tasks.values())
        if len(addresses) <= 1:
            return addresses, 0
        if not all(rendezvous.port(address) for address in addresses):
            raise ValueError("port 0")
        return addresses, list(tasks).index((task["type"], task["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG={text!r} must look like "
            '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", '
            f'"index": 0}}}}, with the index of this process ({type(error).__name__}: {error})'
        ) from error
