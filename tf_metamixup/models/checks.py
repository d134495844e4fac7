"""What the step needs of a model, and would otherwise silently train wrongly."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_metamixup.core import keras_backend
from tf_metamixup.core.errors import UserError

# Names of functions, and of Keras's operations in lower case, without "_".
_PROBABILITIES = {"softmax", "softmaxv2", "sparsemax", "sigmoid", "hardsigmoid"}
_FULL = ("float32", "float64")
# Operations that leave it to the one before them whether a model returns logits.
_PASSING = {"Identity", "Dropout", "RowDropout", "Flatten", "Reshape", "Cast"}


def check_model(model) -> None:
    """Refuses a model that the step would train wrongly."""
    keras_backend.require_tensorflow()
    if not isinstance(model, keras.Model):
        raise UserError(
            f"the model must be a built keras.Model, and it is a {type(model).__name__}"
        )
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        raise UserError(
            f"the model {model.name!r} is a subclass of keras.Model, and the step needs a graph of "
            "layers; wrap it: image = keras.Input(shape); keras.Model(image, model(image))"
        )
    if not model.built or not model.trainable_variables:
        raise UserError("the model must be a built keras.Model with trainable variables")
    _check_shapes(model)
    _check_precision(model)
    _check_logits(model)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.SpectralNormalization):
            raise UserError(
                f"the layer {layer.name!r} assigns its own kernel at every call, which the step, "
                "a function of the weights, does not see; build the model without it"
            )
    if model.losses:
        raise UserError(
            "the model has losses of its own (regularizers or add_loss), which the step does not "
            "read; build it without them and use weight_decay"
        )


def check_trainable(model: keras.Model, trained: Sequence[keras.Variable]) -> None:
    """Refuses a model whose layers were frozen or unfrozen since a list of what trains was made."""
    own = {id(variable) for variable in model.weights}
    before = [id(variable) for variable in trained if id(variable) in own]
    if before != [id(variable) for variable in model.trainable_variables]:
        raise UserError(
            f"layers of the model {model.name!r} were frozen or unfrozen after its Trainer was "
            "made; set `trainable` before that"
        )


def _check_shapes(model: keras.Model) -> None:
    if len(model.inputs) != 1:
        raise UserError(
            f"the model must take one tensor of images, and {model.name!r} takes "
            f"{len(model.inputs)}"
        )
    rows = model.inputs[0].shape[0]
    if rows is not None:
        raise UserError(
            f"the model {model.name!r} takes exactly {rows} images at once, but the last batch of "
            "an evaluation may be smaller; build its keras.Input without batch_size"
        )
    returned = model.compute_output_spec(model.inputs[0])
    shape = getattr(returned, "shape", None)
    if shape is None or len(shape) != 2 or shape[1] is None:
        raise UserError(
            "the model must return logits [rows, classes], and it returns "
            f"{shape or type(returned).__name__}; of a network without a classifier, pool the "
            "features and add a Dense layer"
        )
    if shape[1] < 2:
        raise UserError(
            "the model must return one logit per class, and it returns one number per image; for "
            "two classes end it in Dense(2) without an activation"
        )


def _check_precision(model: keras.Model) -> None:
    """Requires one precision, which is also that of models that the step makes of the layers."""
    general = keras.config.dtype_policy()
    policies = {"Keras's global dtype policy": general} | {
        f"the dtype policy of the layer {layer.name!r}": layer.dtype_policy
        for layer in model._flatten_layers()
        if not isinstance(layer, keras.layers.InputLayer)
    }
    whole = general.variable_dtype
    for what, policy in policies.items():
        types = {policy.compute_dtype, policy.variable_dtype}
        if {each for each in types if "float" in each} - {whole} or whole not in _FULL:
            raise UserError(
                f"{what} is {policy.name!r}: a model must be float32 (or float64) throughout, as "
                "Keras's global policy must be; call keras.config.set_dtype_policy('float32') "
                "before building it (tmm.Trainer then takes mixed_bfloat16=True)"
            )


def _check_logits(model: keras.Model) -> None:
    last = last_operation(model, passing=_PASSING)
    kind = _probabilities(last)
    if kind is None and not _is_linear(last) and _looks_like_probabilities(model):
        kind = "softmax or sigmoid"
    if kind is not None:
        raise UserError(
            f"the model ends in a {kind} (layer {last.name!r}), but the losses take logits; build "
            "it without one, so that it ends in a Dense layer with one logit per class (in "
            "keras.applications: classifier_activation=None)"
        )


def last_operation(model: keras.Model, passing=()) -> keras.Operation:
    """Finds the operation that gives a functional model's output, also inside nested models.

    Operations of types named in `passing` are passed over, to the one before them.
    """
    tensor = model.outputs[0]
    while True:
        history = tensor._keras_history
        operation = history.operation
        linear = getattr(operation, "activation", None) is keras.activations.linear
        passed = isinstance(operation, keras.layers.Activation) and linear
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            tensor = operation.outputs[history.tensor_index]
        elif passing and (passed or type(operation).__name__ in passing):
            tensor = operation._inbound_nodes[history.node_index].input_tensors[0]
        else:
            return operation


def _probabilities(operation: keras.Operation) -> str | None:
    """Returns the name of what makes probabilities, where `operation` does."""
    functions = (getattr(operation, name, None) for name in ("activation", "function"))
    for each in (*functions, type(operation)):
        # An activation may be a layer too.
        name = getattr(each, "__name__", type(each).__name__).lower()
        if name.replace("_", "") in _PROBABILITIES:
            return name.removesuffix("_v2")
    return None


def _is_linear(operation: keras.Operation) -> bool:
    """Returns whether `operation` is a layer of Keras's without an activation."""
    is_keras = type(operation).__module__.startswith("keras.")
    return is_keras and getattr(operation, "activation", None) is keras.activations.linear


def _looks_like_probabilities(model: keras.Model) -> bool:
    """Returns whether outputs for noise sum to 1, or lie in [0, 1] where there is a sigmoid."""
    shape = model.inputs[0].shape[1:]
    if None in shape:
        return False
    noise = 1e6 * tf.random.stateless_normal([4, *shape], [0, 0])
    outputs = np.asarray(model(tf.cast(noise, model.inputs[0].dtype), training=False))
    # Zeros are the logits of a head that was initialized so.
    if not ((outputs >= 0) & (outputs <= 1)).all() or not outputs.any():
        return False
    sums = np.allclose(outputs.sum(axis=1), 1, atol=1e-3)
    return sums or any(_probabilities(layer) for layer in model._flatten_layers())
