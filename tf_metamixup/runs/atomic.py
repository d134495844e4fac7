"""Files and folders that are written whole or not at all."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a file that replaces `path` once all is on the disk; until then `path` stays.

    What goes wrong while it is open leaves `path` as it was, and no draft.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(
    path: pathlib.Path, draft: pathlib.Path | None = None
) -> Iterator[pathlib.Path]:
    """Gives an empty folder that replaces `path` at the end of the block; see `replacing`.

    It lies at `draft` until then, by default beside `path`.
    """
    draft = draft or path.with_name(f".{path.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        _exchange(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _exchange(draft: pathlib.Path, path: pathlib.Path) -> None:
    """Renames the folder `draft` to `path`, which it replaces.

    What was there is removed last: between the two renames, where nothing is there, a kill is
    unlikely, while to remove a folder takes a while.
    """
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)
