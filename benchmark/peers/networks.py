"""cnn3 and the wide residual network of the package, over the operations of any framework.

`w` maps names such as `block1_conv/kernel` to weights, as the Keras models have them.
"""


def cnn3(ops, w, x):
    """Returns logits of images [N, H, W, C]."""
    for number in (1, 2, 3):
        name = f"block{number}"
        x = ops.conv(x, w[f"{name}_conv/kernel"], 1)
        if f"{name}_bn/gamma" in w:
            x = _norm(ops, w, x, f"{name}_bn")
        else:
            x = ops.add_bias(x, w[f"{name}_conv/bias"])
        x = ops.pool(ops.relu(x))
    x = ops.relu(ops.flatten(x) @ w["features/kernel"] + w["features/bias"])
    return _logits(w, x)


def wrn(ops, w, x):
    """Returns logits of images [N, H, W, C]; as many units as there are weights for."""
    x = ops.conv(x, w["stem_conv/kernel"], 1)
    for stage in (1, 2, 3):
        unit = 1
        while f"stage{stage}_unit{unit}_conv1/kernel" in w:
            x = _unit(ops, w, x, f"stage{stage}_unit{unit}", 2 if stage > 1 and unit == 1 else 1)
            unit += 1
    return _logits(w, ops.mean(ops.relu(_norm(ops, w, x, "final_bn"))))


def _unit(ops, w, x, name, stride):
    active = ops.relu(_norm(ops, w, x, f"{name}_bn1"))
    shortcut = x
    if f"{name}_shortcut/kernel" in w:
        shortcut = ops.conv(active, w[f"{name}_shortcut/kernel"], stride)
    y = ops.relu(_norm(ops, w, ops.conv(active, w[f"{name}_conv1/kernel"], stride), f"{name}_bn2"))
    return ops.conv(y, w[f"{name}_conv2/kernel"], 1) + shortcut


def _norm(ops, w, x, name):
    return ops.norm(x, w[f"{name}/gamma"], w[f"{name}/beta"])


def _logits(w, x):
    return x @ w["logits/kernel"] + w["logits/bias"]
