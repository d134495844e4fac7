"""What a data set holds, by name and checksum, and how it differs from what it held before."""

import collections
import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

_NAMED = 3  # of each kind of change


def checksum(content: bytes | np.ndarray) -> str:
    """Computes a digest that other content does not have, of the bytes of a file or an array."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Describes in one line how checksums by name differ; empty where they are the same."""
    added = {name: now[name] for name in sorted(now.keys() - before.keys())}
    removed = {name: before[name] for name in sorted(before.keys() - now.keys())}
    # What has gone and come back under another name was moved.
    places = collections.defaultdict(list)
    for name, digest in added.items():
        places[digest].append(name)
    moved = [(name, places[d].pop(0)) for name, d in removed.items() if places[d]]
    sources, targets = dict(moved), {target for _, target in moved}
    kinds = {
        "added": added.keys() - targets,
        "removed": removed.keys() - sources.keys(),
        "moved": {f"{name} to {target}" for name, target in moved},
        "replaced": {name for name in before.keys() & now.keys() if before[name] != now[name]},
    }
    return ", ".join(
        f"{len(names)} {kind} ({listing(names)})" for kind, names in kinds.items() if names
    )


def listing(names: Iterable[str]) -> str:
    """Returns names in one line, sorted; of many, the first."""
    names = sorted(names)
    return ", ".join(names[:_NAMED] + ["..."] * (len(names) > _NAMED))
