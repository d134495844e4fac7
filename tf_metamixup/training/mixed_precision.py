"""Precision: a copy of a model that computes in bfloat16, and float32 with all its bits."""

import sys

import keras
import tensorflow as tf

from tf_metamixup.core.errors import UserError, reason
from tf_metamixup.models.checks import last_operation


def low_precision_copy(model: keras.Model, policy: str = "mixed_bfloat16") -> keras.Model:
    """Copies `model`, with layers that compute as `policy` but for the one that gives the logits.

    A softmax needs more than half precision. The copy's variables are the model's, in their order
    and of their types, but their values are nothing: `stateless_call` is given those of the model.
    Outside of a strategy's scope they lie in the host's memory.

    Args:
        model: functional or sequential.
        policy: name of a Keras dtype policy.

    Returns:
        A model that takes and returns what `model` does, of the same types.

    Raises:
        UserError: the model cannot be copied, or its weights are of another type than the policy's.
    """

    def copied(layer):
        config = layer.get_config()
        if "dtype" in config and layer is not last:
            config["dtype"] = policy
        return type(layer).from_config(config)

    try:
        last = last_operation(model)
        with tf.device("CPU:0"):
            made = keras.models.clone_model(model, clone_function=copied, recursive=True)
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise UserError(
            f"bfloat16 computes with a copy of the model, but {model.name!r} cannot be copied; "
            "build it with Keras's functional API from layers that have get_config, or leave "
            "mixed_bfloat16 and meta_bfloat16 out "
            f"({type(error).__name__}: {reason(error)})"
        ) from error
    if _kinds(made) != _kinds(model):
        raise UserError(
            f"bfloat16 needs float32 weights, but those of the model {model.name!r} are "
            f"{model.trainable_variables[0].dtype}, or differ in its copy"
        )
    logits, returned = made.outputs[0], model.outputs[0].dtype
    if logits.dtype != returned:
        made = keras.Model(made.inputs[0], keras.ops.cast(logits, returned))
    return made


def multiply_in_full() -> None:
    """Turns TensorFloat-32 off for this process, which a GPU would round products to.

    It is TensorFlow's default, and moves lambda's gradient by up to 30 % (docs/design/gpu.md). Of
    a process that has GPUs, one line says so. To turn it on again, do so after making a `Trainer`.
    """
    settings = tf.config.experimental
    if settings.tensor_float_32_execution_enabled():
        settings.enable_tensor_float_32_execution(False)
        if tf.config.list_physical_devices("GPU"):
            print("lambda is learned: TensorFloat-32 is off in this process", file=sys.stderr)


def _kinds(model: keras.Model) -> list[tuple]:
    variables = (model.trainable_variables, model.non_trainable_variables)
    return [[(tuple(v.shape), v.dtype) for v in each] for each in variables]
