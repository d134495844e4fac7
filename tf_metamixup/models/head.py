"""Where a model's head begins, and the model split in two below it."""

import keras

from tf_metamixup.core.errors import UserError


def layers(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers of the head: those of the last two with weights that read vectors [N, D].

    They cost so little that the whole meta set can go through them at every step. A model in which
    neither reads vectors has the last layer with weights as its head. A model nested in the model
    counts by its layers.
    """
    weighted = [layer for layer in _flattened(model) if layer.trainable_variables]
    return [layer for layer in weighted[-2:] if _reads_vectors(layer)] or weighted[-1:]


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns (body, head), images -> features -> logits, made of the layers of `model`.

    The second is made of `layers` and all that follows from them. It must read one tensor of the
    body.

    Raises:
        UserError: the model is no graph of layers, or cannot be split so.
    """
    refused = (
        "estimator 'cached', the default of policy meta, cannot split the model "
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
            "meta(estimator='nested') takes any model"
        ) from error
    upper = set(layers(model))
    if not upper <= reads.keys():
        raise UserError(
            f"{refused}, which begins within a model in it: make one graph of both, as in "
            "keras.Model(body.input, keras.layers.Dense(10)(body.output)), or use "
            "meta(estimator='nested')"
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
            "one; meta(estimator='nested') takes any model"
        )
    (features,) = border.values()
    return keras.Model(model.inputs, features), keras.Model(features, model.outputs[0])


def _reads_vectors(layer: keras.Layer) -> bool:
    try:
        return len(layer.input.shape) == 2
    except (AttributeError, ValueError):  # in no graph, or in more than one place of it
        return False


def _flattened(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers in order, those of nested models in the place of these."""
    return [
        inner
        for layer in model.layers
        for inner in (_flattened(layer) if getattr(layer, "layers", None) else [layer])
    ]
