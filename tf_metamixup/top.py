"""Where a model's top block and its head begin, and the model cut in two below the head."""

import keras

from tf_metamixup.errors import UserError


def layers(model: keras.Model) -> list[keras.Layer]:
    """The layers with weights of the top block and the head.

    Those named "top_...", "features" and "logits" (see `models`); in a model without a "top_..."
    layer, the last two layers that have weights. A model within the model counts by its layers.
    """
    weighted = [layer for layer in _simple(model) if layer.trainable_variables]
    named = [layer for layer in weighted if layer.name.startswith("top_")]
    if not named:
        return weighted[-2:]
    return [*named, *(layer for layer in weighted if layer.name in ("features", "logits"))]


def head(model: keras.Model) -> list[keras.Layer]:
    """Those of the top block's layers with weights that read one vector an image, [N, D].

    They cost so little that the whole meta set can go through them at every step. In a model
    without any, all of the top block.
    """
    top = layers(model)
    return [layer for layer in top if _reads_vectors(layer)] or top


def cut(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """(body, head): images -> features -> logits, of the same layers as `model`.

    The second is the layers of `head` and all that follows from them. It must read one tensor of
    the body.

    Raises:
        UserError: the model is no graph of layers, or cannot be cut so.
    """
    refused = (
        "estimator top_block_cached, the default of policy meta, cannot cut the model "
        f"{model.name!r} below its head"
    )
    try:
        # Of a functional model all that its graph is made of, also what is no layer, such as `+`.
        parts = getattr(model, "operations", model.layers)
        reads = {part: keras.tree.flatten(part.input) for part in parts}
        made_by = {id(t): part for part in reads for t in keras.tree.flatten(part.output)}
    except (AttributeError, ValueError) as error:
        raise UserError(
            f"{refused}: it must be a functional or sequential model that uses each layer once; "
            "estimator='top_block' takes any model"
        ) from error
    upper = set(head(model))
    if not upper <= reads.keys():
        raise UserError(
            f"{refused}, which begins within a model in it: make one graph of both, as in "
            "keras.Model(body.input, keras.layers.Dense(10)(body.output))"
        )
    # Parts come in an order in which each follows those it reads.
    for part, tensors in reads.items():
        if any(made_by.get(id(tensor)) in upper for tensor in tensors):
            upper.add(part)
    border = {
        id(tensor): tensor
        for part in upper
        for tensor in reads[part]
        if made_by.get(id(tensor)) not in upper
    }
    if len(border) != 1:
        raise UserError(
            f"{refused}: the head reads {len(border)} tensors of the layers below, and it must be "
            "one; estimator='top_block' takes any model"
        )
    (features,) = border.values()
    return keras.Model(model.inputs, features), keras.Model(features, model.outputs[0])


def _reads_vectors(layer: keras.Layer) -> bool:
    try:
        return len(layer.input.shape) == 2
    except (AttributeError, ValueError):  # in no graph, or in more than one place of it
        return False


def _simple(model: keras.Model) -> list[keras.Layer]:
    """The layers in order, those of models within the model in the place of these."""
    return [
        simple
        for layer in model.layers
        for simple in (_simple(layer) if getattr(layer, "layers", None) else [layer])
    ]
