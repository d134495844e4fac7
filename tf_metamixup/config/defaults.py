"""The paper's defaults by mode and data set (section IV)."""

import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")
MODES = ("sl", "ssl")
# Learning rates by optimizer: "initial learning rate as 0.1" (IV.B); Kingma & Ba 2015, and Keras.
LEARNING_RATES = {"sgd": 0.1, "adam": 0.001}
OPTIMIZERS = tuple(LEARNING_RATES)
# Precisions of LiteRT models by value of --litert.
LITERT = {"none": (), "float32": ("float32",), "int8": ("int8",), "both": ("float32", "int8")}

# MetaMixUp as the paper has it: the exact gradient.
META = "meta(estimator='nested')"

# Section IV.B; docs/reproduction.md lists what the paper leaves open.
BY_MODE: dict[str, dict[str, Any]] = {
    "sl": {
        "method": "supervised",
        "policy": META,  # eq. 7 and 9 as they stand
        "mix_until": 1.0,  # to the end
        "epochs": 600,  # "number of epochs as 600"
        "batch_size": 128,  # "batch size as 128"
        "schedule": "cosine",  # "followed by cosine annealing"
        "architecture": "preact_resnet18",
        "meta_source": "heldout",  # docs/reproduction.md, points 5 and 20
        "num_meta": 1000,  # "1000 images (100 per class)"
        "shift": 0,  # "we only use horizontal flipping"
    },
    "ssl": {
        "method": "pseudo_label(decay=0.05)",  # "we set sigma_d = 0.05"
        "policy": META,  # eq. 7 and 9 as they stand
        "mix_until": 1.0,  # to the end
        "epochs": 200,  # "200 epochs"
        "batch_size": 100,  # "batch size 100"
        "schedule": "steps",  # "divided by 10 after 60, 120 and 180 epochs"
        "architecture": "wrn_28_2",  # "all methods with WideResNet-28-2"
        "meta_source": "heldout",
        "num_meta": 500,  # "500 images (50 per class)"
        "shift": 2,  # "horizontal flip and 2-pixel translation"
    },
}
# For a user's own images, in place of the paper's protocol: what ends in minutes on a CPU, and what
# evidence recommends (docs/results.md, "Does a learned lambda pay?"). docs/own_data.md has the
# table with its reasons and times.
OWN = {"schedule": "cosine", "policy": "beta(per_sample=True)"}
# With unlabelled images. The paper's K of 30 epochs is longer than many of these runs: as in its
# 200 epochs, the threshold falls six times in any run (docs/semi_supervised.md, "How fast the
# threshold falls").
OWN_SSL = {"method": "pseudo_label(decay=0.05, period=0.15)"}
# By the longer side of the images in pixels, and by the images of an epoch; each up to a limit.
OWN_NETWORKS = (
    (40, "cnn3(width=32, batch_norm=True, average_pool=True)"),
    (math.inf, "cnn3(width=16, batch_norm=True, average_pool=True)"),
)
# Of the shorter side: 2 of 28 or 32 pixels (docs/own_data.md has what it gains).
OWN_SHIFT = 1 / 16
# When mixing stops, and with what that was measured (docs/results.md, "Mixing that stops early").
OWN_MIX_UNTIL = 0.8
OWN_MIX_UNTIL_METHODS = ("supervised", "audit", "glc", "pseudo_label")
OWN_MIX_UNTIL_POLICIES = ("beta", "dynamic")
# Steps between two evaluations, at least: an epoch of few images has but a handful.
OWN_EVALUATION_STEPS = 100
OWN_STEPS = ((10_000, 3_000), (100_000, 10_000), (math.inf, 30_000))
# Rows of a batch: of all CPU devices together, and of each GPU.
OWN_BATCH, OWN_BATCH_PER_GPU = 50, 128
# "a 3-layer CNN is used for the tasks on MNIST and Fashion"; digits are as small.
SMALL_IMAGES = ("digits", "mnist", "fashion_mnist")
# The paper's larger number of labels (IV.A); a hundred a class elsewhere.
NUM_LABELS = {"cifar10": 4000, "svhn_cropped": 1000, "digits": 100}
# Of the labelled images, where there are neither validation nor test images.
VAL_FRACTION = 0.1


def up_to(table: Sequence[tuple[float, T]], size: int) -> T:
    """Returns the entry of the first limit that `size` does not pass."""
    return next(entry for limit, entry in table if size <= limit)


def own_batch(most: int, replicas: int, *, gpus: bool) -> int:
    """Returns the batch size for a user's own images, at most `most`, which `replicas` divide."""
    most = min(OWN_BATCH_PER_GPU * replicas if gpus else OWN_BATCH, most)
    return max(2, most // replicas) * replicas  # two to mix


def is_own(dataset: str) -> bool:
    """Returns whether these are a user's own files."""
    return dataset_name(dataset) in ("folder", "table")


def dataset_name(dataset: str) -> str:
    """Returns the name of a data set without TFDS's config and version: what decides defaults."""
    return re.split("[/:]", dataset)[0]
