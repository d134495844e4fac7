"""The settings of a run: the paper's defaults by mode, and what is allowed."""

import dataclasses
import os
import re
from typing import Any

from tf_metamixup.core.errors import UserError

MODES = ("sl", "ssl")

# MetaMixUp as the paper has it: the exact gradient.
META = "meta(estimator='nested')"

# Section IV.B; docs/reproduction.md lists what the paper leaves open.
BY_MODE: dict[str, dict[str, Any]] = {
    "sl": {
        "method": "supervised",
        "policy": META,  # eq. 7 and 9 as they stand
        "epochs": 600,  # "number of epochs as 600"
        "batch_size": 128,  # "batch size as 128"
        "schedule": "cosine",  # "followed by cosine annealing"
        "architecture": "preact_resnet18",
        "num_meta": 1000,  # "1000 images (100 per class)"
        "shift": 0,  # "we only use horizontal flipping"
    },
    "ssl": {
        "method": "pseudo_label(decay=0.05)",  # "we set sigma_d = 0.05"
        "policy": META,  # eq. 7 and 9 as they stand
        "epochs": 200,  # "200 epochs"
        "batch_size": 100,  # "batch size 100"
        "schedule": "steps",  # "divided by 10 after 60, 120 and 180 epochs"
        "architecture": "wrn_28_2",  # "all methods with WideResNet-28-2"
        "num_meta": 500,  # "500 images (50 per class)"
        "shift": 2,  # "horizontal flip and 2-pixel translation"
    },
}
# "a 3-layer CNN is used for the tasks on MNIST and Fashion"; digits are as small.
SMALL_IMAGES = ("digits", "mnist", "fashion_mnist")
# The paper's larger number of labels (IV.A); a hundred a class elsewhere.
NUM_LABELS = {"cifar10": 4000, "svhn_cropped": 1000, "digits": 100}

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "steps", "late", "constant")
DECAYED = ("all", "kernels")
META_SOURCES = ("heldout", "train")
CORRUPT_IMAGES = ("stop", "skip")
EVALUATED = ("test", "unused")
# Precisions of LiteRT models by value of --litert.
LITERT = {"none": (), "float32": ("float32",), "int8": ("int8",), "both": ("float32", "int8")}
COUNTS = (
    "epochs",
    "batch_size",
    "num_labels",
    "num_meta",
    "train_examples",
    "image_size",
    "replicas",
    "row_groups",
    "max_steps",
    "log_every",
    "evaluate_every",
    "checkpoint_every",
)

# Settings that two runs may differ in and still be the same run.
NOT_IDENTITY = (
    "run_dir",
    "data_dir",
    "max_steps",
    "log_every",
    "evaluate_every",
    "checkpoint_every",
    "export",
    "litert",
)
# Settings that runs of one row of a table, or of one curve, may differ in: neither the protocol
# nor what is measured depends on them.
FREE = frozenset((*NOT_IDENTITY, "seed", "replicas", "row_groups", "deterministic"))


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run; None is filled in from the mode, then from the data.

    Attributes:
        dataset: `digits`, a TFDS name or `folder:DIR`.
        data_dir: where TFDS data lies or goes.
        image_size: side that images of varying size are brought to.
        corrupt_images: "stop" at files of a folder that cannot be read, or "skip" them.
        mode: `sl` or `ssl`.
        method, policy, architecture: `name(option=value, ...)`.
        run_dir: where everything of the run goes.
        initial_weights: the run directory of another run, whose weights a new run starts from.
        epochs: passes over the training images; over the unlabelled ones in SSL.
        batch_size: global; in SSL as many labelled and unlabelled images a step.
        learning_rate: initial; IV.B: 0.1.
        schedule: "cosine", "steps" (a tenth after 30, 60 and 90 % of the run, which is 60, 120
            and 180 of 200 epochs), "late" (a fifth after 80 % of it: Oliver et al. 2018) or
            "constant".
        warmup_steps: steps over which the rate rises linearly; None for 100 where the network has
            no normalization layers, else 0. IV.B names no warm-up: 0 is its letter.
        optimizer: of the real step, "sgd" (IV.B) or "adam"; the virtual step is plain descent.
        momentum: of SGD; IV.B: 0.9.
        weight_decay: coupled L2 coefficient; IV.B: 1e-4.
        weight_decay_on: "all" trainable variables, or "kernels" only.
        num_labels: labelled training images in SSL.
        num_meta: images of the meta set.
        meta_source: "heldout", or "train" to train on the meta images too.
        include_labelled: whether the unlabelled images contain the labelled ones.
        train_examples: cap on what is left after the meta set is taken out.
        flip: random mirroring; None where the data set says that a mirrored image keeps its class.
        shift: random translation by up to so many pixels, with reflection.
        seed: decides split, initial weights, order, augmentation and lambda.
        replicas: data-parallel replicas of this process, and once the other workers of its job are
            known, of all; None for all GPUs, else 1.
        deterministic: whether the same bits come out on a GPU too, at some speed; on a CPU they
            do in any case.
        mixed_bfloat16: whether label guessing and the real step compute in bfloat16; the weights
            and the meta stage stay in float32.
        jit: whether TensorFlow's compiler XLA makes one program of each step.
        row_groups: pairs are drawn within so many row groups; None for one a replica.
        evaluate_on: the "test" images, or as many "unused" training images, in no part of the run:
            for choices between settings, which must not be made on the test images.
        max_steps: stop after so many steps in all.
        log_every: steps between two log entries.
        evaluate_every: epochs; None for so often that no more test images are looked at than were
            trained on in between. The last epoch always is evaluated.
        checkpoint_every: epochs.
        export: whether a finished run writes a SavedModel.
        litert: which LiteRT models it makes of it: "none", "float32", "int8" or "both".
    """

    dataset: str = "digits"
    data_dir: str | None = None
    image_size: int | None = None
    corrupt_images: str = "stop"
    mode: str = "sl"
    method: str | None = None
    policy: str | None = None
    architecture: str | None = None
    run_dir: str | None = None
    initial_weights: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 0.1
    schedule: str | None = None
    warmup_steps: int | None = None
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    weight_decay_on: str = "all"
    num_labels: int | None = None
    num_meta: int | None = None
    meta_source: str = "heldout"
    include_labelled: bool = False
    train_examples: int | None = None
    flip: bool | None = None
    shift: int | None = None
    seed: int = 0
    replicas: int | None = None
    deterministic: bool = False
    mixed_bfloat16: bool = False
    jit: bool = False
    row_groups: int | None = None
    evaluate_on: str = "test"
    max_steps: int | None = None
    log_every: int = 50
    evaluate_every: int | None = None
    checkpoint_every: int = 1
    export: bool = True
    litert: str = "none"

    def with_mode_defaults(self) -> "Config":
        """Fills in what the mode and the data set's name decide, and validates.

        Raises:
            UserError: naming the setting, its value and what is allowed.
        """
        _one_of("mode", self.mode, MODES)
        defaults = dict(BY_MODE[self.mode])
        del defaults["num_meta"]  # it depends on the data too
        if dataset_name(self.dataset) in SMALL_IMAGES:
            defaults["architecture"] = "cnn3"
        filled = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        config = dataclasses.replace(self, **filled)
        config._validate()
        if config.run_dir is None:
            config = dataclasses.replace(config, run_dir=config._default_run_dir())
        return config._with_initial_weights()

    def on_devices(self, count: int) -> "Config":
        """The same on `count` replicas, which a batch must be dealt to in equal parts.

        Raises:
            UserError: it cannot.
        """
        groups = self.row_groups or count
        config = dataclasses.replace(self, replicas=count, row_groups=groups)
        config._validate()
        return config

    def with_data_defaults(self, *, classes: int, examples: int, flip: bool) -> "Config":
        """Fills in what depends on the training set.

        Args:
            classes: number of classes.
            examples: number of training images.
            flip: whether a mirrored image keeps its class.
        """
        filled: dict[str, Any] = {}
        if self.num_meta is None:
            usual = (
                100 if dataset_name(self.dataset) == "digits" else BY_MODE[self.mode]["num_meta"]
            )
            filled["num_meta"] = max(classes, min(usual, examples // 10))
        if self.mode == "ssl" and self.num_labels is None:
            filled["num_labels"] = NUM_LABELS.get(dataset_name(self.dataset), 100 * classes)
        if self.flip is None:
            filled["flip"] = flip
        return dataclasses.replace(self, **filled)

    def identity(self) -> dict[str, Any]:
        """The settings that make two runs the same."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in NOT_IDENTITY}

    def _validate(self) -> None:
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("weight_decay_on", self.weight_decay_on, DECAYED)
        _one_of("meta_source", self.meta_source, META_SOURCES)
        _one_of("evaluate_on", self.evaluate_on, EVALUATED)
        _one_of("corrupt_images", self.corrupt_images, CORRUPT_IMAGES)
        _one_of("litert", self.litert, tuple(LITERT))
        if self.litert != "none" and not self.export:
            raise UserError(
                f"--litert={self.litert} is made of the SavedModel, which --noexport leaves out; "
                "drop one of them"
            )
        for name, value in dataclasses.asdict(self).items():
            _require_utf8(name, value)
        for name in COUNTS:
            _at_least(name, getattr(self, name), 1)
        _at_least("shift", self.shift, 0)
        _at_least("warmup_steps", self.warmup_steps, 0)
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed={self.seed} must lie in [0, 2**32)")
        if not 0 < self.learning_rate < float("inf"):
            raise UserError(f"--learning_rate={self.learning_rate} must be a number above 0")
        if not 0 <= self.weight_decay < float("inf"):
            raise UserError(f"--weight_decay={self.weight_decay} must be a number from 0")
        if not 0 <= self.momentum < 1:
            raise UserError(f"--momentum={self.momentum} must lie in [0, 1)")
        if self.mode == "sl" and self.num_labels is not None:
            raise UserError(
                f"--num_labels={self.num_labels} goes with --mode=ssl; in --mode=sl use "
                "--train_examples to train on fewer images"
            )
        if self.mode == "sl" and self.include_labelled:
            raise UserError("--include_labelled goes with --mode=ssl")
        replicas = self.replicas or 1
        if self.jit:
            check_jit(replicas)
        if self.batch_size % replicas:
            raise UserError(
                f"--batch_size={self.batch_size} is global and must be divisible by "
                f"--replicas={replicas}"
            )
        if self.row_groups and (self.row_groups % replicas or self.batch_size % self.row_groups):
            raise UserError(
                f"--row_groups={self.row_groups} must be a multiple of --replicas={replicas} "
                f"and divide --batch_size={self.batch_size}"
            )

    def _with_initial_weights(self) -> "Config":
        """The same with one spelling of `initial_weights`.

        Raises:
            UserError: it is empty, or the run directory itself.
        """
        if self.initial_weights is None:
            return self
        if not self.initial_weights:
            raise UserError("--initial_weights= is empty; give the --run_dir of another run")
        folder = os.path.normpath(os.path.expanduser(self.initial_weights))
        if os.path.realpath(folder) == os.path.realpath(os.path.expanduser(self.run_dir)):
            raise UserError(
                f"--initial_weights={self.initial_weights} is the run directory of this run; a new "
                "run takes another --run_dir"
            )
        return dataclasses.replace(self, initial_weights=folder)

    def _default_run_dir(self) -> str:
        row = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{self.method}-{self.policy}").strip("_")
        dataset = re.sub(r"[^A-Za-z0-9.]+", "_", self.dataset).strip("_")
        return f"runs/{dataset}-{self.mode}-{row}-seed{self.seed}"


def dataset_name(dataset: str) -> str:
    """Returns the name of a data set without TFDS's config and version: what decides defaults."""
    return re.split("[/:]", dataset)[0]


def check_jit(replicas: int) -> None:
    """Refuses to compile steps of more than one replica.

    Raises:
        UserError: there are more.
    """
    if replicas > 1:
        raise UserError(
            f"jit compiles a step for one device, since XLA takes no variables of several, and "
            f"there are {replicas} replicas; use one, or leave jit out"
        )


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"--{name}={value} must be one of {', '.join(allowed)}")


def _require_utf8(name: str, value: Any) -> None:
    """Refuses what Python read from bytes that are no UTF-8: TensorFlow would, after training."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"--{name}={os.fsencode(value)!r} is not UTF-8; rename the file or folder"
            ) from None


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UserError(f"--{name}={value} must be at least {least}")
