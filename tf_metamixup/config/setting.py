"""What a field of `Config` says of itself, and what that allows."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from tf_metamixup.core.errors import UserError


def setting(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: int | None = None,
    recorded_only: bool = False,
) -> Any:
    """Makes a field of `Config`.

    Args:
        default: None is filled in by `Config.resolve`.
        text: help of its flag.
        choices: the values allowed; any by default.
        at_least: the smallest number allowed.
        recorded_only: whether it is left out of a run's fingerprint: resuming may change it.
    """
    metadata = {
        "help": text,
        "choices": choices,
        "at_least": at_least,
        "recorded_only": recorded_only,
    }
    return dataclasses.field(default=default, metadata=metadata)


def validate(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    """Refuses a value that the metadata of its field does not allow."""
    _require_utf8(name, value)
    choices, at_least = metadata["choices"], metadata["at_least"]
    if choices and value is not None and value not in choices:
        raise UserError(f"--{name}={value} must be one of {', '.join(choices)}")
    if at_least is not None and value is not None and value < at_least:
        raise UserError(f"--{name}={value} must be at least {at_least}")


def _require_utf8(name: str, value: Any) -> None:
    """Refuses what Python read from bytes that are no UTF-8: TensorFlow would, after training."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"--{name}={os.fsencode(value)!r} is not UTF-8; rename the file or folder"
            ) from None
