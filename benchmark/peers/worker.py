"""A process with the step of one framework: it tells of its first, then takes as many as asked.

`worker.py FRAMEWORK ARCHITECTURE KIND FILE`: FRAMEWORK is ours, torch or jax, KIND plain or exact.
"ours" writes FILE, which the others start from and are compared with.
"""

import importlib
import json
import resource
import sys
import time

import networks
import numpy as np
from peer_ours import RATE

FROZEN = 1e-12


def made(framework, architecture, exact, path):
    """Returns (step, the framework's arrays as ours, ours after the first step or None)."""
    peer = importlib.import_module(f"peer_{framework}")
    if framework == "ours":
        from tf_metamixup.distribution.startup import start_tensorflow

        start_tensorflow()
        case, step = peer.make(architecture, exact)
        return step, peer.numpy, case
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    case["weights"] = _part(case, "weights/")
    network = networks.wrn if architecture.startswith("wrn") else networks.cnn3
    return peer.make(network, case, exact), peer.numpy, case


def _part(case, prefix):
    return {n.removeprefix(prefix): v for n, v in case.items() if n.startswith(prefix)}


def distance(found, expected):
    """Returns the length of the difference over that of what is expected."""
    found, expected = (np.concatenate([np.ravel(v) for v in each]) for each in (found, expected))
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30))


def now():
    """Returns seconds of the clock and of all processors."""
    return time.perf_counter(), time.process_time()


def main(framework, architecture, kind, path):
    """Takes the first step, compares it, and then obeys."""
    step, numpy, case = made(framework, architecture, kind == "exact", path)
    before = now()
    move, gradients = step(RATE)
    gradients = {name: numpy(value) for name, value in gradients.items()}
    found = {"first": [after - then for after, then in zip(now(), before, strict=True)]}
    if framework == "ours":
        arrays = {k: v for k, v in case.items() if k != "weights"} | {"move": numpy(move)}
        arrays |= {f"weights/{name}": value for name, value in case["weights"].items()}
        arrays |= {f"gradients/{name}": value for name, value in gradients.items()}
        np.savez(path, **arrays)
    else:
        ours = _part(case, "gradients/")
        found["gradients"] = distance([gradients[name] for name in ours], ours.values())
        if kind == "exact":
            found["move"] = distance([numpy(move)], [case["move"]])
    step(FROZEN)
    print(json.dumps(found), flush=True)
    for line in sys.stdin:
        before, count = now(), int(line)
        for _ in range(count):
            step(FROZEN)
        taken = [(after - then) / count for after, then in zip(now(), before, strict=True)]
        print(json.dumps(taken), flush=True)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
