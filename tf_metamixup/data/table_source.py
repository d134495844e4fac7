"""`table:FILE`: image files named by a table with columns file, label, split and trusted_label."""

import collections
import csv
import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tf_metamixup.core.errors import UserError, explained, reason
from tf_metamixup.core.suggestions import did_you_mean
from tf_metamixup.data.contents import checksum
from tf_metamixup.data.file_source import Files, Listed
from tf_metamixup.data.images import UNLABELLED

REQUIRED = ("file", "label")
COLUMNS = (*REQUIRED, "split", "trusted_label")
SPLITS = ("train", "val", "test", "unlabelled")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan", re.IGNORECASE)


class Row(NamedTuple):
    """Holds a row of a table."""

    line: int  # number of the row, as an editor counts lines
    file: str  # as the table has it
    part: str  # one of `file_source.PARTS`
    label: str  # name of the class; empty where there is none
    given: str  # of a trusted image, the noisy label; empty where there was none


def files(path: Path) -> Files:
    """Lists the files that a table names, relative to its folder.

    An image without a label is unlabelled. One with a `trusted_label` is of that class, and in
    the training split it belongs to the meta set. The table at `path` is a .csv or .parquet file.

    Raises:
        UserError: no such table, columns, splits or files; labels that are no classes; a file
            that is named twice.
    """
    content = _read(path)
    cells = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, content)
    rows = _whole_numbers([_row(path, line, values) for line, values in cells])
    _check_files(path, rows)
    classes = _classes(path, rows)
    number = {label: c for c, label in enumerate(classes)}
    parts = collections.defaultdict(list)
    for row in rows:
        label = UNLABELLED if row.part == "unlabelled" else number[row.label]
        given = number.get(row.given, UNLABELLED)
        parts[row.part].append(Listed(row.part, path.parent / row.file, label, row.file, given))
    if unknown := [row for row in rows if row.given and row.given not in number]:
        note = f"{path} line {unknown[0].line}: the label {unknown[0].given!r} of a checked image"
        note += f"{did_you_mean(unknown[0].given, classes)} is no class"
        warnings.warn(f"{note}, so no label that checked images had is used", stacklevel=2)
    listed = [each for part in parts.values() for each in part]
    return Files(classes, listed, {path.name: checksum(content)})


def _read(path: Path) -> bytes:
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"table:{path} must be a .csv or a .parquet file")
    with explained(f"cannot read the table {path}", OSError):
        return path.read_bytes()


def _csv(path: Path, content: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line and cells by column of each row."""
    not_utf8 = f"the table {path} is not UTF-8"
    with explained(not_utf8, UnicodeDecodeError, advice="; save it as UTF-8"):
        # Not `splitlines`, which also ends lines at characters that names may have.
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    try:
        columns = [each.strip() for each in next(reader, [])]
        _check_columns(path, columns)
        for values in reader:
            if values and len(values) != len(columns):
                raise UserError(
                    f"{path} line {reader.line_num} has {len(values)} cells, but its header has "
                    f"{len(columns)}; quote cells that hold a comma"
                )
            if values:
                cells = zip(columns, map(str.strip, values), strict=True)
                yield reader.line_num, dict(cells)
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num} is not CSV: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        import pandas

        frame = pandas.read_parquet(path)
    except ImportError as error:
        raise UserError(
            f"reading {path} requires pandas and pyarrow: pip install pandas pyarrow, or save the "
            "table as .csv"
        ) from error
    except Exception as error:  # the engines raise what they like
        raise UserError(f"cannot read the table {path}: {reason(error)}") from error
    _check_columns(path, frame.columns)
    frame = frame.astype(object).where(frame.notna(), "")
    for line, values in enumerate(frame.itertuples(index=False, name=None), 1):
        yield line, {c: str(value).strip() for c, value in zip(frame.columns, values, strict=True)}


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    columns = list(columns)
    for separator in (";", "\t"):
        if len(columns) == 1 and separator in columns[0]:
            raise UserError(f"{path} uses {separator!r} as separator; save it with commas")
    for column in columns:
        if column not in COLUMNS:
            raise UserError(
                f"{path} has a column {column!r}{did_you_mean(column, COLUMNS)}; a table has the "
                "columns file and label, and may have split and trusted_label"
            )
    for column in REQUIRED:
        if column not in columns:
            raise UserError(f"{path} has no column {column!r}: its first line must name it")
    if len(set(columns)) < len(columns):
        raise UserError(f"{path} has two columns with the same name: {', '.join(columns)}")


def _row(path: Path, line: int, cells: dict[str, str]) -> Row:
    split, trusted = cells.get("split") or "train", cells.get("trusted_label", "")
    label = trusted or cells["label"]
    where = f"{path} line {line}"
    if not cells["file"]:
        raise UserError(f"{where} names no file")
    if split not in SPLITS:
        raise UserError(
            f"{where} has the split {split!r}{did_you_mean(split, SPLITS)}; known: "
            f"{', '.join(SPLITS)}, or empty for train"
        )
    if split == "unlabelled" and trusted:
        raise UserError(
            f"{where} has a trusted_label in the split unlabelled, which uses none; leave one of "
            "them empty"
        )
    if split in ("val", "test") and not label:
        raise UserError(f"{where} has no label, which images of the split {split} need")
    if split == "train":
        split = "trusted" if trusted else "train" if label else "unlabelled"
    return Row(line, cells["file"], split, label, cells["label"] if split == "trusted" else "")


def _whole_numbers(rows: list[Row]) -> list[Row]:
    """Returns the rows with 0 for the label 0.0: pandas writes floats where cells are empty."""
    labels = [label for row in rows for label in (row.label, row.given) if label]
    if not all(re.fullmatch(r"\d+(\.0+)?", label) for label in labels):
        return rows
    return [
        row._replace(label=row.label.partition(".")[0], given=row.given.partition(".")[0])
        for row in rows
    ]


def _check_files(path: Path, rows: Iterable[Row]) -> None:
    """Refuses files that are not there, or named twice."""
    missing = [row for row in rows if not os.path.isfile(path.parent / row.file)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{path} line {missing[0].line}: there is no file {path.parent / missing[0].file}"
            f"{more}; paths are relative to the table's folder"
        )
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(os.path.realpath(path.parent / row.file), row)
        if first is row:
            continue
        problem = "is named twice"
        if first.label != row.label:
            problem = f"has two labels, {first.label!r} and {row.label!r}"
        elif first.part != row.part:
            problem = f"is in two splits, {first.part} and {row.part}"
        raise UserError(
            f"{path} lines {first.line} and {row.line}: {row.file} {problem}; leave one of them out"
        )


def _classes(path: Path, rows: Iterable[Row]) -> list[str]:
    """Returns the classes of the training images, numbers in their own order."""
    labels = [row.label for row in rows if row.label]
    if all(_NUMBER.fullmatch(label) for label in labels):
        for row in rows:
            if row.label and not row.label.isdecimal():
                raise UserError(
                    f"{path} line {row.line}: the label {row.label!r} is a number but not a "
                    "non-negative integer; classes are integers or names, and an image without a "
                    "label has an empty cell"
                )
    classes = {row.label for row in rows if row.part == "train"}
    for row in rows:
        if row.part not in ("train", "unlabelled") and row.label not in classes:
            raise UserError(
                f"{path} line {row.line}: a {row.part} image is of the class {row.label!r}, which "
                "no training image has: training would never see it"
            )
        if "\n" in row.label or "\r" in row.label:
            raise UserError(f"{path} line {row.line}: the label {row.label!r} has a line break")
    if not classes:
        raise UserError(f"{path} has no training image with a label")
    if empty := [label for label in classes if label.lower() == "nan"]:
        note = f"{path}: a class is called {empty[0]!r}, which is how Python writes an empty cell"
        warnings.warn(f"{note}; if those images have no label, leave it empty", stacklevel=2)
    numbers = all(label.isdecimal() for label in classes)
    return sorted(classes, key=lambda label: (int(label) if numbers else 0, label))
