"""Suggestions for an unknown name: the known one that may have been meant."""

import difflib
import re
from collections.abc import Iterable, Mapping

_EMPTY: Mapping[str, str] = {}


def plain(text: str) -> str:
    """Returns the letters and digits of `text` in lower case: names are compared without more."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def suggest(text: str, known: Iterable[str], aliases: Mapping[str, str] = _EMPTY) -> str | None:
    """Finds the name that is nearest to `text`.

    Returns:
        One of `known` in quotes, or one of the values of `aliases`, which say what to write instead
        of names from elsewhere, by `plain` name; None where nothing is near.
    """
    word, names = plain(text), {plain(name): repr(name) for name in known}
    if not word:
        return None
    if found := names.get(word) or aliases.get(word):
        return found
    longer = [name for name in names if len(word) > 2 and word in name]
    near = longer or difflib.get_close_matches(word, [*names, *aliases], 1, cutoff=0.65)
    near = near or [name for name in names if len(name) > 2 and name in word]
    return (names | aliases)[near[0]] if near else None


def did_you_mean(text: str, known: Iterable[str], aliases: Mapping[str, str] = _EMPTY) -> str:
    """Returns " (did you mean ...?)" or, where nothing is near, nothing; see `suggest`."""
    found = suggest(text, known, aliases)
    return f" (did you mean {found}?)" if found else ""
