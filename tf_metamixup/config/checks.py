"""Checks of settings against each other."""

import dataclasses
import math
import os
from typing import Any

from tf_metamixup.config.defaults import is_own
from tf_metamixup.core.errors import UserError, require


def check(config: Any) -> None:
    """Refuses settings that do not go together."""
    require(config.run_dir != "", "--run_dir=", "name a folder, or be left out")
    if config.litert != "none" and not config.export:
        raise UserError(
            f"--litert={config.litert} needs the SavedModel, which --noexport disables; drop one "
            "of them"
        )
    _check_training(config)
    _check_images(config)
    _check_devices(config)


def _check_training(config: Any) -> None:
    require(0 <= config.seed < 2**32, f"--seed={config.seed}", "lie in [0, 2**32)")
    rate, decay = config.learning_rate, config.weight_decay
    require(0 < rate < math.inf, f"--learning_rate={rate}", "be a positive number")
    require(0 <= decay < math.inf, f"--weight_decay={decay}", "be a number of at least 0")
    require(0 <= config.momentum < 1, f"--momentum={config.momentum}", "lie in [0, 1)")
    if config.optimizer == "adam" and config.momentum != type(config).momentum:
        raise UserError(
            f"--momentum={config.momentum} applies to --optimizer=sgd, and adam has no momentum; "
            "drop one"
        )


def _check_images(config: Any) -> None:
    for name in ("val_fraction", "test_fraction", "trusted_share"):
        value = getattr(config, name)
        require(value is None or 0 < value < 1, f"--{name}={value}", "lie between 0 and 1")
    if (config.val_fraction or 0) + (config.test_fraction or 0) >= 1:
        raise UserError(
            f"--val_fraction={config.val_fraction} and --test_fraction={config.test_fraction} "
            "leave nothing to train on; their sum must be less than 1"
        )
    if config.augment == "none" and (config.flip or config.shift):
        raise UserError(
            "--augment=none leaves images as they are, and --flip and --shift change them; drop "
            "one or the other"
        )
    if config.trusted_share and config.meta_source == "train":
        raise UserError(
            f"--trusted_share={config.trusted_share} already trains on the meta images; drop "
            "--meta_source=train"
        )
    for name, default in (("corrupt_images", "stop"), ("in_memory", "auto")):
        value = getattr(config, name)
        if value != default and not is_own(config.dataset):
            raise UserError(
                f"--{name}={value} is for --dataset=folder:DIR and table:FILE, and "
                f"--dataset={config.dataset} is neither; drop it"
            )
    if config.data_dir is not None and is_own(config.dataset):
        raise UserError(
            f"--data_dir={config.data_dir} is for TFDS data sets, and --dataset={config.dataset} "
            "says itself where it is; drop it"
        )
    factor = config.imbalance
    allowed = "be a number of at least 1"
    require(factor is None or 1 <= factor < math.inf, f"--imbalance={factor}", allowed)
    for name in ("num_labels", "include_labelled", "labelled_classes", "unlabelled_ratio"):
        value = getattr(config, name)
        if config.mode == "sl" and value != getattr(type(config), name):
            hint = "; in --mode=sl use --train_examples to train on fewer images"
            flag = f"--{name}" if value is True else f"--{name}={value}"
            raise UserError(f"{flag} requires --mode=ssl{hint if name == 'num_labels' else ''}")
    for name in ("label_noise", "imbalance"):
        if config.labelled_classes is not None and getattr(config, name) is not None:
            raise UserError(
                f"--labelled_classes={config.labelled_classes} cannot be combined with "
                f"--{name}={getattr(config, name)}; drop one of them"
            )


def _check_devices(config: Any) -> None:
    replicas = config.replicas or 1
    if config.jit:
        check_jit(replicas)
    if config.batch_size is None:  # by default it follows from the devices
        return
    if config.batch_size % replicas:
        raise UserError(
            f"--batch_size={config.batch_size} is global and must be divisible by "
            f"--replicas={replicas}"
        )
    if config.row_groups and (
        config.row_groups % replicas or config.batch_size % config.row_groups
    ):
        raise UserError(
            f"--row_groups={config.row_groups} must be a multiple of --replicas={replicas} "
            f"and divide --batch_size={config.batch_size}"
        )


def check_data(config: Any, data: Any) -> None:
    """Refuses settings that do not go with a data set.

    Args:
        config: the settings.
        data: `DataInfo`.
    """
    for part, there in (("val", data.val), ("test", data.test)):
        share = getattr(config, f"{part}_fraction")
        if share is not None and there:
            raise UserError(
                f"--{part}_fraction={share} splits {part} images off the training images, but the "
                "data set already has some: drop the flag"
            )
    if config.num_labels is not None and data.unlabelled:
        raise UserError(
            f"--num_labels={config.num_labels} hides labels to simulate unlabelled images, but "
            f"this data set has {data.unlabelled:,} of them: drop the flag to use all labels"
        )
    if config.num_meta is not None and data.trusted:
        raise UserError(
            f"--num_meta={config.num_meta} splits a meta set off the training images, but here the "
            f"{data.trusted:,} images with checked labels are the meta set: drop the flag"
        )


def with_initial_weights(config: Any) -> Any:
    """Returns `config` with one spelling of `initial_weights`.

    Raises:
        UserError: it is empty, or the run directory itself.
    """
    if config.initial_weights is None:
        return config
    if not config.initial_weights:
        raise UserError("--initial_weights= is empty; give the --run_dir of another run")
    folder = os.path.normpath(os.path.expanduser(config.initial_weights))
    if os.path.realpath(folder) == os.path.realpath(os.path.expanduser(config.run_dir)):
        raise UserError(
            f"--initial_weights={config.initial_weights} is the run directory of this run; a new "
            "run takes another --run_dir"
        )
    return dataclasses.replace(config, initial_weights=folder)


def check_jit(replicas: int) -> None:
    """Refuses to compile steps of more than one replica."""
    if replicas > 1:
        raise UserError(
            "jit compiles a step for one device, since XLA cannot use the variables of several, "
            f"but there are {replicas} replicas; use one, or drop jit"
        )
