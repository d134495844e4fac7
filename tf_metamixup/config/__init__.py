"""The settings of a run: the paper's defaults by mode, and what is allowed. No TensorFlow."""

from tf_metamixup.config.checks import check_jit
from tf_metamixup.config.config import FREE, RECORDED_ONLY, Config, DataInfo, selecting
from tf_metamixup.config.defaults import (
    BY_MODE,
    LEARNING_RATES,
    LITERT,
    META,
    MODES,
    OPTIMIZERS,
    dataset_name,
)
from tf_metamixup.config.fields import GROUPS

__all__ = [
    "BY_MODE",
    "FREE",
    "GROUPS",
    "LEARNING_RATES",
    "LITERT",
    "META",
    "MODES",
    "OPTIMIZERS",
    "RECORDED_ONLY",
    "Config",
    "DataInfo",
    "check_jit",
    "dataset_name",
    "selecting",
]
