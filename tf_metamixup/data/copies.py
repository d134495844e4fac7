"""Images that stand in a data set of files more than once, told by their bytes."""

import collections
import warnings
from collections.abc import Mapping, Sequence

from tf_metamixup.data.contents import checksum, listing


def warn(
    name: str,
    files: Sequence[tuple[str, str, int]],
    contents: Mapping[str, str],
    evaluated: Sequence[str],
) -> None:
    """Warns of images that are both trained on and evaluated, and of those that have two labels.

    The first make an error look better than it is, the second cannot both be right.

    Args:
        name: of the data set.
        files: (part, name within it, label) of each file; the label is below 0 where it has none.
        contents: checksums by part and name; that of no bytes where a file cannot be read.
        evaluated: the parts that are evaluated; the others are trained on.
    """
    copies = collections.defaultdict(list)
    for part, file, label in files:
        copies[contents[f"{part}/{file}"]].append((part, f"{part}/{file}", label))
    copies.pop(checksum(b""), None)
    copies = [each for each in copies.values() if len(each) > 1]
    for part in evaluated:
        pairs = []
        for each in copies:
            trained_on = [file for p, file, _ in each if p not in evaluated]
            if trained_on:
                pairs += [f"{file} is {trained_on[0]}" for p, file, _ in each if p == part]
        if pairs:
            warnings.warn(
                f"{name}: {part} contains {len(pairs)} of the training images ({listing(pairs)}), "
                "so its error is less informative about new images; remove one of each pair",
                stacklevel=2,
            )
    # The first file of each label, and of many labels some: what is no photo may be of all classes.
    # A checked label stands, and its copies are left out of training.
    doubtful = [each for each in copies if not any(part == "trusted" for part, *_ in each)]
    labelled = [{lab: file for _, file, lab in reversed(each) if lab >= 0} for each in doubtful]
    twice = [" is ".join(sorted(files.values())[:3]) for files in labelled if len(files) > 1]
    if twice:
        warnings.warn(
            f"{name}: copies of {len(twice)} of the images have different labels "
            f"({listing(twice)}); remove the wrong ones",
            stacklevel=2,
        )
