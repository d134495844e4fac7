"""The settings of a run: the paper's defaults by mode, and what is allowed. No TensorFlow."""

from tf_metamixup.config.checks import check_jit
from tf_metamixup.config.config import FREE, RECORDED_ONLY, Config, DataInfo
from tf_metamixup.config.defaults import BY_MODE, META, MODES, dataset_name
from tf_metamixup.config.fields import LITERT, OPTIMIZERS

__all__ = [
    "BY_MODE",
    "FREE",
    "LITERT",
    "META",
    "MODES",
    "OPTIMIZERS",
    "RECORDED_ONLY",
    "Config",
    "DataInfo",
    "check_jit",
    "dataset_name",
]
