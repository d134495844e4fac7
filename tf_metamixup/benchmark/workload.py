"""The data and the network that steps are timed on."""

from typing import Any, NamedTuple

from tf_metamixup.config import Config

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
