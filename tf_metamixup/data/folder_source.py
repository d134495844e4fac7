"""`folder:DIR`: image files in DIR/train/CLASS and beside it, and in folders below these."""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from tf_metamixup.core.errors import UserError, explained
from tf_metamixup.core.suggestions import did_you_mean
from tf_metamixup.data import image_files
from tf_metamixup.data.file_source import PARTS, Files, Listed
from tf_metamixup.data.images import UNLABELLED

LeftOut = list[tuple[str, Path]]


def files(root: Path) -> Files:
    """Lists the files of a folder.

    `train`, `trusted`, `val` and `test` hold a folder for each class, `unlabelled` any images; all
    but `train` may be missing.

    Raises:
        UserError: no such folders, classes without an image or that train lacks, no image in
            `unlabelled`, names that are not UTF-8.
    """
    left_out: LeftOut = []
    classes = _class_files(root, "train", left_out)
    parts = {"train": classes}
    for part in PARTS[1:]:
        if os.path.lexists(root / part) and not (root / part).is_dir():
            raise UserError(
                f"{root / part} is not a folder, or a link to none; remove or repair it"
            )
    for part in ("trusted", "val", "test"):
        if (root / part).is_dir():
            parts[part] = _class_files(root, part, left_out)
            if unknown := sorted(parts[part].keys() - classes.keys()):
                raise UserError(
                    f"{root}/{part} has the class {_printable(unknown[0])!r}, which {root}/train "
                    "lacks: training would never see it; add images of it there, or rename or "
                    "remove the folder"
                )
    if (root / "unlabelled").is_dir():
        advice = "; put images there, or remove the folder"
        parts["unlabelled"] = {"": _images(root / "unlabelled", left_out, advice)}
    paths = [path for part in parts.values() for members in part.values() for path in members]
    _require_names(classes, paths)
    for path in _entries(root):
        if path.name in PARTS or image_files.is_hidden(path.name):
            continue
        if path.is_dir() or path.suffix.lower() in image_files.SUFFIXES:
            meant = did_you_mean(path.name, PARTS) if path.is_dir() else ""
            left_out.append((f"beside {', '.join(PARTS[:-1])} and {PARTS[-1]}{meant}", path))
    if left_out:
        warnings.warn(image_files.describe_left_out(left_out), stacklevel=2)
    number = {label: c for c, label in enumerate(classes)} | {"": UNLABELLED}
    listed = [
        Listed(part, path, number[label], path.relative_to(root / part).as_posix())
        for part, members in parts.items()
        for label, paths in members.items()
        for path in paths
    ]
    return Files(list(classes), listed)


def _class_files(root: Path, part: str, left_out: LeftOut) -> dict[str, list[Path]]:
    """Returns the image files by class, both sorted; what is none joins `left_out`."""
    folder = root / part
    if not os.path.isdir(folder):  # which, unlike a Path's, takes any name
        raise UserError(
            f"{folder} is not a folder; folder:DIR needs DIR/train/CLASS/*.png (or "
            f"{', '.join(image_files.SUFFIXES[1:])}), and optionally DIR/test/CLASS, "
            f"DIR/val/CLASS, DIR/trusted/CLASS and DIR/unlabelled{_hint(root)}"
        )
    files = {}
    for path in _entries(folder):
        if image_files.is_hidden(path.name):
            left_out.append(("hidden", path))
        elif not path.is_dir():
            left_out.append(("outside the class folders", path))
        else:
            files[path.name] = _images(path, left_out)
    if not files:
        raise UserError(f"{folder} holds no class folders")
    return files


def _entries(folder: Path) -> list[Path]:
    with explained(f"cannot list {folder}", OSError):
        return sorted(folder.iterdir())


def _images(folder: Path, left_out: LeftOut, advice: str = "") -> list[Path]:
    """Returns the image files at any depth; what is none joins `left_out`."""
    files, others = image_files.find(folder)
    if not files:
        raise UserError(
            f"{_printable(str(folder))} holds no {', '.join(image_files.SUFFIXES)} image"
            + (f"; {image_files.describe_left_out(others)}" if others else "")
            + advice
        )
    left_out += others
    return files


def _hint(root: Path) -> str:
    """Returns where train lies, if one level off."""
    near = [root.parent, *(_entries(root) if os.path.isdir(root) else [])]
    for folder in near:
        if (folder / "train").is_dir():
            return f". Did you mean folder:{folder}?"
    return ""


def _require_names(classes: Sequence[str], paths: Iterable[Path]) -> None:
    """Refuses names that neither labels.txt nor TensorFlow can hold."""
    if bad := [str(path) for path in paths if _printable(str(path)) != str(path)]:
        raise UserError(
            f"{len(bad)} file or folder names are not UTF-8, such as {_printable(bad[0])}; rename "
            "them"
        )
    for name in classes:
        if "\n" in name or "\r" in name:
            raise UserError(f"the class name {name!r} has a line break; rename the folder")


def _printable(name: str) -> str:
    """Returns `name` with bytes that are no UTF-8 escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")
