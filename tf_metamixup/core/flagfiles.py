"""Flagfiles: those of the working directory, else those that come with the package."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def find(name: str) -> str:
    """Returns the path of a flagfile, which is `name` itself unless the package has it.

    What begins with `flags/` and is not in the working directory is looked for in the installed
    package, then beside the package of a checkout.
    """
    path = pathlib.Path(name)
    if path.parts[:1] == ("flags",) and not path.exists():
        for folder in (_PACKAGE, _PACKAGE.parent):
            if (folder / path).is_file():
                return str(folder / path)
    return name
