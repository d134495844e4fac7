"""The step in PyTorch, eager, with `create_graph` for the virtual step."""

import torch
from torch.nn import functional


class Ops:
    """Operations on [N, C, H, W]; kernels [out, in, h, w]."""

    relu = staticmethod(functional.relu)

    @staticmethod
    def conv(x, kernel, stride):
        """Convolves with TensorFlow's "same" padding."""
        total = max(kernel.shape[2] - stride, 0)  # of a side that the stride divides
        before, after = total // 2, total - total // 2
        if before == after:
            return functional.conv2d(x, kernel, stride=stride, padding=before)
        x = functional.pad(x, [before, after, before, after])
        return functional.conv2d(x, kernel, stride=stride)

    add_bias = staticmethod(lambda x, bias: x + bias[:, None, None])
    pool = staticmethod(lambda x: functional.max_pool2d(x, 2))
    flatten = staticmethod(lambda x: x.permute(0, 2, 3, 1).flatten(1))
    mean = staticmethod(lambda x: x.mean((2, 3)))
    norm = staticmethod(
        lambda x, gamma, beta: functional.batch_norm(
            x, None, None, gamma, beta, training=True, eps=1e-5
        )
    )


def _from(array):
    tensor = torch.tensor(array)
    if array.ndim != 4:
        return tensor
    return tensor.permute(3, 2, 0, 1).contiguous()


def _images(array):
    return torch.tensor(array).permute(0, 3, 1, 2).contiguous()


def make(network, case, exact):
    """Returns a step (learning rate) -> (move of lambda's logits, gradients by name)."""
    w = {name: _from(value).requires_grad_() for name, value in case["weights"].items()}
    velocity = {name: torch.zeros_like(value) for name, value in w.items()}
    x, x_meta = _images(case["x"]), _images(case["x_meta"])
    y, y_meta, start = (torch.tensor(case[name]) for name in ("y", "y_meta", "start"))
    partner = torch.tensor(case["partner"], dtype=torch.long)

    def entropy(weights, x, y):
        logits = network(Ops, weights, x)
        return -(y * functional.log_softmax(logits, 1)).sum(1).mean()

    def loss(weights, lam):
        by_image, by_row = lam[:, None, None, None], lam[:, None]
        mixed = by_image * x + (1 - by_image) * x[partner]
        return entropy(weights, mixed, by_row * y + (1 - by_row) * y[partner])

    def gradient(value, weights, **options):
        return dict(
            zip(weights, torch.autograd.grad(value, list(weights.values()), **options), strict=True)
        )

    def moved(rate):
        z = torch.logit(start).requires_grad_()
        g = gradient(loss(w, torch.sigmoid(z)), w, create_graph=True)
        after = {name: w[name] - rate * g[name] for name in w}
        slope = torch.autograd.grad(entropy(after, x_meta, y_meta), z)[0] / rate
        move = -slope / slope.square().mean().sqrt()
        return torch.sigmoid(z.detach() + move), move

    def step(rate):
        lam, move = moved(rate) if exact else (start, torch.zeros_like(start))
        g = gradient(loss(w, lam), w)
        with torch.no_grad():
            for name, value in w.items():
                velocity[name].mul_(0.9).add_(g[name] + 1e-4 * value)
                value.sub_(rate * velocity[name])
        return move, velocity

    return step


def numpy(value):
    """Returns a tensor as the Keras model has it."""
    value = value.detach()
    return (value.permute(2, 3, 1, 0) if value.ndim == 4 else value).numpy()
