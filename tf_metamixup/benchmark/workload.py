"""What steps are timed on, the policies that are timed, and where the results go."""

import json
import logging
import pathlib
from typing import Any, NamedTuple

from tf_metamixup.config import Config
from tf_metamixup.core.errors import explained
from tf_metamixup.runs.atomic import replacing

PLAIN = "beta"  # the policy that others are compared with
REFERENCE = "nested"  # the estimator that gives lambda's exact gradient

# Flags of `main` that count here too.
FLAGS = (
    *("dataset", "data_dir", "num_meta", "train_examples"),
    *("architecture", "batch_size", "learning_rate", "seed"),
)

# Side and channels that an architecture usually sees.
USUAL_INPUT = {"cnn3": (28, 1), "resnet50": (100, 3)}
OTHERS_INPUT = (32, 3)


class Workload(NamedTuple):
    """Holds what is timed."""

    config: Config  # the settings, with their data defaults
    prepared: Any  # the data; see `data.prepare`
    model: Any  # in its strategy's scope, with initial weights
    preprocess: Any  # stored images -> what the model takes

    def graphs(self, policy: str, learning_rate, steps: int, **options):
        """Returns `Trainer.graphs` of the model with `policy`, in a run of `steps` steps."""
        import tf_metamixup as tmm

        config, prepared = self.config, self.prepared
        trainer = tmm.Trainer(
            self.model,
            config.method,
            policy,
            learning_rate,
            seed=config.seed,
            preprocess=self.preprocess,
            **options,
        )
        data = {"labelled": prepared.labelled, "meta": prepared.meta}
        return trainer.graphs(**data, epoch_steps=prepared.epoch_steps, steps=steps)


def policies() -> dict[str, str]:
    """Returns the policy that uses it for each estimator of lambda's gradient."""
    from tf_metamixup.policies.meta import ESTIMATORS

    return {name: f"meta(estimator={name!r})" for name in ESTIMATORS}


def devices(replicas: int):
    """Returns the strategy that steps are timed on."""
    from tf_metamixup.distribution.strategy import local_strategy

    # Each subject has graphs of its own, which TensorFlow takes for retracing.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return local_strategy(replicas)


def make(config: Config, strategy) -> Workload:
    """Loads the data at the architecture's usual size and builds the network on `strategy`."""
    import keras

    from tf_metamixup import data, models

    config = config.resolve(replicas=strategy.num_replicas_in_sync)
    source, image_shape, preprocess = load(config)
    config = config.resolve(data=source.info)
    prepared = data.prepare(source, config)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = models.make(config.architecture, image_shape, len(source.classes))
    return Workload(config, prepared, model, preprocess)


def load(config: Config):
    """Loads the data set at the architecture's usual size: (source, shape, preprocessing)."""
    import tensorflow as tf

    from tf_metamixup import data, models

    name = config.architecture and models.parse(config.architecture).name
    side, channels = USUAL_INPUT.get(name, OTHERS_INPUT)
    source = data.load(config.dataset, config.data_dir, side)
    if source.image_shape[-1] >= channels:
        return source, source.image_shape, data.scale

    def coloured(images):
        return tf.image.grayscale_to_rgb(data.scale(images))

    return source, (*source.image_shape[:-1], channels), coloured


class Results:
    """Writes the JSON file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: str):
        self._path = pathlib.Path(path).expanduser()
        probe = self._path.with_name(f".{self._path.name}.probe")
        with explained(f"cannot write --json={path}", OSError):
            if self._path.is_dir():
                raise IsADirectoryError("it is a folder")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()

    def write(self, content: dict[str, Any]) -> None:
        """Replaces the file."""
        with replacing(self._path) as file:
            file.write(json.dumps(content, indent=1).encode())
