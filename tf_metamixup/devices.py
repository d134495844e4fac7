"""Where training runs: the devices of this process, or those of all workers of a job."""

import json
import os

import tensorflow as tf

from tf_metamixup.errors import UserError

# Workers that start so much later than the first are waited for, in seconds.
PATIENCE = 600
_PORTS = range(20_000, 40_000)


def make_strategy(
    replicas: int | None = None, cluster: str | None = None
) -> tf.distribute.Strategy:
    """Data-parallel training on the devices that there are.

    Args:
        replicas: so many of this process's GPUs, by default all of them. Without a GPU, logical CPU
            devices, by default one.
        cluster: who the workers of the job are, one of `config.CLUSTERS`; None: this process.

    Returns:
        A MirroredStrategy, or in a job of several workers a MultiWorkerMirroredStrategy.

    Raises:
        UserError: more replicas than GPUs, a cluster that makes no sense, an address in use.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and (replicas or 1) > len(gpus):
        raise UserError(f"--replicas={replicas} must be at most the {len(gpus)} GPUs there are")
    gpus = gpus[:replicas]
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if cluster == "slurm":
        os.environ["TF_CONFIG"] = json.dumps(slurm_cluster(os.environ))
    addresses = _addresses(os.environ.get("TF_CONFIG")) if cluster else []
    if len(addresses) > 1:
        return _multi_worker(addresses, gpus, replicas)
    count = replicas or len(gpus) or 1
    if not gpus and count > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(count)])


def slurm_cluster(environment) -> dict:
    """The content of TF_CONFIG for this task of `srun`; task 0 is the chief.

    Args:
        environment: with the variables that `srun` sets in each task.

    Raises:
        UserError: they are not there.
    """
    try:
        # Ports are no resource of Slurm's: jobs that share a node should not ask for the same.
        first = _PORTS[int(environment["SLURM_JOB_ID"]) % len(_PORTS)]
        tasks = int(environment["SLURM_STEP_NUM_TASKS"])
        # The resolver deals GPUs out, which is Slurm's own work, and fails where there are none:
        # as many as tasks, one each, and not set.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=first, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        cluster = resolver.cluster_spec().as_dict()
        kind, index = resolver.get_task_info()
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--cluster=slurm works in the tasks of `srun` (launch/slurm.sbatch shows how), and "
            f"their variables are not here: {error}"
        ) from error
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


def _addresses(text: str | None) -> list[str]:
    """The host:port of all workers, in order, from the content of TF_CONFIG."""
    if not text:
        return []
    try:
        content = json.loads(text)
        cluster, task = content.get("cluster", {}), content.get("task", {})
        addresses = [*cluster.get("chief", []), *cluster.get("worker", [])]
        if addresses and task["type"] not in ("chief", "worker"):
            raise ValueError(f"a task of the type {task['type']!r} does not train")
        if addresses:
            cluster[task["type"]][task["index"]]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG={text!r} must look like "
            '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", '
            f'"index": 0}}}}, with the index of this process; {type(error).__name__}: {error}'
        ) from error
    return addresses


def _multi_worker(addresses: list[str], gpus: list, replicas: int | None):
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
