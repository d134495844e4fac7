"""Checks what Keras's `compile` and `fit` are given."""

import keras
import tensorflow as tf

from tf_metamixup.core.errors import UserError
from tf_metamixup.core.graph_checks import stated
from tf_metamixup.methods.method import Method
from tf_metamixup.mixing import Lambdas
from tf_metamixup.policies import Policy
from tf_metamixup.policies import check as check_policy
from tf_metamixup.training.data_checks import check_pair, ensure_shape
from tf_metamixup.training.first_batch import check_values, first_batch
from tf_metamixup.training.watch import ROUNDING

LOSSES = (keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy)


def check_tensors(
    name: str, model: keras.Model, x, y, weight=None, *, loss=None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images and labels as the step takes them.

    `name` is what messages call the data, `loss` what `compile` was given.

    Raises:
        UserError: they are not such as the model or the loss takes, or have weights.
    """
    if weight is not None:
        raise UserError(
            "class_weight and sample_weight: the step weights all rows equally; leave them out"
        )
    if not tf.is_tensor(x) or not tf.is_tensor(y):
        raise UserError(f"the `{name}` data must give pairs (images, labels) of one tensor each")
    specs = [tf.TensorSpec(each.shape, each.dtype) for each in (x, y)]
    classes = model.output_shape[-1]
    shapes = check_pair(name, *specs, model.input_shape, classes)
    kinds = ("integers", "one-hot")
    is_by_class = tuple(shapes[1]) == (None, classes)
    if loss is not None and is_by_class != (type(loss) is LOSSES[1]):
        raise UserError(
            f"the labels of the `{name}` data are {kinds[is_by_class]}, but compile() was given "
            f"the loss for labels that are {kinds[not is_by_class]}: give "
            f"keras.losses.{LOSSES[is_by_class].__name__}(from_logits=True)"
        )
    x = ensure_shape(name, "images", x, shapes[0])
    return x, ensure_shape(name, "labels", y, shapes[1])


def check_served(
    method: Method, policy: Policy, strategy: tf.distribute.Strategy, model: keras.Model
) -> None:
    """Refuses what Keras's `fit` has no place for."""
    check_policy(policy, method, rank=len(model.input_shape))
    otherwise = "; train it with tmm.Trainer"
    if method.views or method.average is not None:
        raise UserError(
            f"method {method} takes unlabelled images or averages weights, which fit() does not "
            f"support{otherwise}"
        )
    if method.judges:
        raise UserError(
            f"method {method} judges labels between steps, which fit() does not support{otherwise}"
        )
    if method.memory(model.output_shape[-1]):
        raise UserError(
            f"method {method} remembers something from step to step, which fit() does not "
            f"save{otherwise}"
        )
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise UserError(f"Keras 3 cannot fit() with several workers{otherwise}")


def check_options(jit_compile: bool | str, loss_weights) -> None:
    """Refuses options of `compile` that the step does not support."""
    if jit_compile is True:
        raise UserError("jit_compile=True: the step is not compiled by XLA; leave it out")
    if loss_weights is not None:
        raise UserError("loss_weights: the step has one loss, of weight 1; leave them out")


def check_optimizer(optimizer: keras.Optimizer) -> None:
    """Refuses optimizers that do not step once, with the gradient as it is, for each batch."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise UserError(
            "an optimizer that scales losses (mixed_float16) is not supported by the step: build "
            "the model in float32"
        )
    if optimizer.gradient_accumulation_steps:
        raise UserError(
            f"gradient_accumulation_steps={optimizer.gradient_accumulation_steps} is not supported "
            "by the step, which counts the optimizer's steps: use larger batches"
        )


def check_validation(data, classes: int) -> None:
    """Refuses validation labels that are no classes."""
    if isinstance(data, tf.data.Dataset):
        data = first_batch("validation", data)
    if isinstance(data, (tuple, list)) and len(data) >= 2 and hasattr(data[1], "shape"):
        images, labels = (tf.convert_to_tensor(each) for each in data[:2])
        check_values("validation", images, labels, classes)


def check_loss(loss) -> None:
    """Refuses all losses but the mean cross-entropy of logits, which the step trains on."""
    if type(loss) in LOSSES:
        plain = type(loss)(from_logits=True, name=loss.name)
        if loss.get_config() == plain.get_config():
            return
    raise UserError(
        f"loss={loss!r} must be keras.losses.SparseCategoricalCrossentropy(from_logits=True), or "
        "CategoricalCrossentropy(from_logits=True) for one-hot labels, without further options: "
        "the training step supports no other loss"
    )


def lambdas_in_range(policy: Policy, lambdas: Lambdas):
    """Returns a context that fails where a lambda of the policy is not in [0, 1]."""
    outside = abs(lambdas.value - 0.5)
    worst = tf.gather(lambdas.value, tf.argmax(outside))
    problem = f"a lambda of policy {policy} is not between 0 and 1:"
    return stated(tf.reduce_max(outside) <= 0.5 + ROUNDING, problem, worst)
