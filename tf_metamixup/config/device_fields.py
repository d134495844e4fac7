"""The fields of `Config` that say what computes, and how precisely."""

import dataclasses

from tf_metamixup.config.setting import setting


@dataclasses.dataclass(frozen=True)
class DeviceSettings:
    """Says what computes, and how precisely."""

    replicas: int | None = setting(
        None,
        "data-parallel replicas of this process; by default all GPUs, else 1. Without a GPU, this "
        "many logical CPU devices are created. TF_CONFIG in the environment makes this process one "
        "worker of a job (docs/distributed.md)",
        at_least=1,
    )
    deterministic: bool = setting(
        False,
        "use TensorFlow's deterministic operations, so that results on a GPU are bit-identical "
        "too, at a cost in speed; an operation without a deterministic version is an error",
    )
    mixed_bfloat16: bool = setting(
        False,
        "compute label guessing and the real step in bfloat16; weights and meta stage stay in "
        "float32. Not with vat, adamixup and manifold_mixup",
    )
    meta_bfloat16: bool = setting(
        False,
        "compute the meta stage, in which lambda is learned, in bfloat16; for hardware with native "
        "bfloat16 support; slower without. Not with vat, adamixup and manifold_mixup",
    )
    tensor_float_32: bool = setting(
        False,
        "allow TensorFloat-32 on a GPU also when lambda is learned: by default it is then off, "
        "since it changes the gradient of lambda by up to 30 %; steps are faster with it",
    )
    jit: bool = setting(
        False,
        "compile each step into one program with XLA, on one replica; results "
        "differ by rounding from those without. For GPUs, where a step takes half to two thirds of "
        "the time; a CPU takes about twice as long",
    )
    row_groups: int | None = setting(
        None, "number of row groups to draw pairs within; by default one per replica", at_least=1
    )
