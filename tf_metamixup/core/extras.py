"""Optional dependencies, which an extra of the package installs."""

import contextlib
from collections.abc import Iterator

from tf_metamixup.core.errors import UserError


@contextlib.contextmanager
def needed(extra: str) -> Iterator[None]:
    """Runs a block that imports what an extra of pyproject.toml installs.

    Raises:
        UserError: a module is not installed; the message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "tf_metamixup":
            raise
        # No package index has it.
        raise UserError(
            f"{package} is not installed: in the clone of tf_metamixup, pip install '.[{extra}]'"
        ) from error
