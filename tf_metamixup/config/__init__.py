"""The settings of a run: the paper's defaults by mode, and what is allowed. No TensorFlow."""

from tf_metamixup.config.config import FREE, RECORDED_ONLY, Config, DataInfo, selecting

__all__ = ["FREE", "RECORDED_ONLY", "Config", "DataInfo", "selecting"]
