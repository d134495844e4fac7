"""Settings -> the data, the model and the Trainer of a run, before anything is trained."""

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf
from keras.optimizers import schedules

from tf_metamixup import data, methods, models
from tf_metamixup.config import Config
from tf_metamixup.data.pipeline import Stream
from tf_metamixup.models.layers import is_normalized
from tf_metamixup.schedules import warm_up
from tf_metamixup.trainer import Trainer
from tf_metamixup.workers import Workers

# Of networks without normalization layers.
WARMUP_STEPS = 100


class Assembly(NamedTuple):
    """What a run is made of.

    Attributes:
        config: the settings, all filled in.
        source: the data set.
        prepared: what the run reads of it.
        trainer: with initial weights.
    """

    config: Config
    source: data.Source
    prepared: data.Prepared
    trainer: Trainer

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.config.epochs * self.prepared.epoch_steps

    @property
    def training(self) -> dict[str, Stream | None]:
        """What is trained on, by name, as `Trainer.fit` and `Trainer.streams` take it."""
        names = ("labelled", "unlabelled", "meta")
        return {name: getattr(self.prepared, name) for name in names}


def assemble(config: Config, strategy: tf.distribute.Strategy) -> Assembly:
    """The run of `config` on the devices of `strategy`.

    Raises:
        UserError: the data are not there, or cannot be split or dealt as the settings say.
    """
    config = config.on_devices(strategy.num_replicas_in_sync)
    with Workers(strategy).together():
        source = data.load(
            config.dataset, config.data_dir, config.image_size, config.corrupt_images
        )
        config = config.with_data_defaults(
            classes=len(source.classes), examples=len(source.train.labels), flip=source.flip
        )
        method = methods.make(config.method)
        prepared = data.prepare(source, config, method.views)
    if config.evaluate_every is None:
        config = dataclasses.replace(config, evaluate_every=prepared.evaluate_every)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = models.make(config.architecture, source.image_shape, len(source.classes))
    if config.warmup_steps is None:
        config = dataclasses.replace(config, warmup_steps=default_warmup(model))
    trainer = Trainer(
        model,
        method,
        config.policy,
        make_schedule(config, config.epochs * prepared.epoch_steps),
        optimizer=config.optimizer,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        weight_decay_on=config.weight_decay_on,
        seed=config.seed,
        preprocess=data.scale,
        class_names=source.classes,
        row_groups=config.row_groups,
        mixed_bfloat16=config.mixed_bfloat16,
        jit=config.jit,
    )
    return Assembly(config, source, prepared, trainer)


def default_warmup(model: keras.Model) -> int:
    """Returns how many steps of warm-up a network gets where the settings name none.

    At the paper's rate of 0.1 and momentum of 0.9 the first steps kill `cnn3` on half of the seeds
    (WORKSPACE.md has the measured losses); networks with normalization layers bear them.
    """
    return 0 if is_normalized(model) else WARMUP_STEPS


def make_schedule(config: Config, steps: int):
    """Returns eta as a function of the step (IV.B), a number where it is constant."""
    schedule = _decay(config, steps)
    return warm_up(schedule, config.warmup_steps or 0)


def _decay(config: Config, steps: int):
    rate = config.learning_rate
    if config.schedule == "constant":
        return rate
    if config.schedule == "cosine":
        return schedules.CosineDecay(rate, steps)
    if config.schedule == "late":
        return schedules.PiecewiseConstantDecay([round(0.8 * steps) - 1], [rate, rate / 5])
    # "divided by 10 after 60, 120 and 180 epochs" of 200.
    return schedules.PiecewiseConstantDecay(
        # Keras keeps the old rate up to and with the boundary.
        [round(steps * share) - 1 for share in (0.3, 0.6, 0.9)],
        [rate * factor for factor in (1, 0.1, 0.01, 0.001)],
    )
