"""Where training runs: the devices of this process, or those of all workers of a job."""

import json
import os

import tensorflow as tf

from tf_metamixup.errors import UserError


def make_strategy(replicas: int | None = None) -> tf.distribute.Strategy:
    """That of the job which TF_CONFIG in the environment describes, or else `local_strategy`.

    Every worker of a job takes the GPUs of its process, all or `replicas` of them.

    Raises:
        UserError: more replicas than GPUs, a TF_CONFIG that makes no sense, an address in use.
    """
    addresses = _addresses(os.environ.get("TF_CONFIG"))
    if len(addresses) <= 1:
        return local_strategy(replicas)
    gpus = _gpus(replicas)
    if gpus:
        tf.config.set_visible_devices(gpus, "GPU")
    elif (replicas or 1) > 1:
        raise UserError(f"--replicas={replicas}: without a GPU, a worker of a job has one replica")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise UserError(
            f"this process cannot join the workers {', '.join(addresses)} of TF_CONFIG: "
            f"{str(error).splitlines()[0]}. Each address must be free, be this machine's for this "
            "process, and be reachable by all workers"
        ) from error


def local_strategy(replicas: int | None = None) -> tf.distribute.MirroredStrategy:
    """MirroredStrategy over all GPUs, or over `replicas` of them, or of logical CPU devices.

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


def _gpus(replicas: int | None) -> list:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and (replicas or 1) > len(gpus):
        raise UserError(f"--replicas={replicas} must be at most the {len(gpus)} GPUs there are")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return gpus[:replicas]


def _addresses(text: str | None) -> list[str]:
    """The host:port of all workers, in order, from the content of TF_CONFIG."""
    if not text:
        return []
    try:
        content = json.loads(text)
        cluster, task = content.get("cluster", {}), content.get("task", {})
        addresses = [*cluster.get("chief", []), *cluster.get("worker", [])]
        if len(addresses) > 1:
            if task["type"] not in ("chief", "worker"):
                raise ValueError(f"a task of the type {task['type']!r} does not train")
            cluster[task["type"]][task["index"]]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG={text!r} must look like "
            '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", '
            f'"index": 0}}}}, with the index of this process ({type(error).__name__}: {error})'
        ) from error
    return addresses
