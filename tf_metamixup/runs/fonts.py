"""Text in matplotlib's pictures: fonts that have its characters, or what stands in for it."""

import functools
import logging
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib import font_manager

# It tells of each face without the usual weight, which is then drawn in another.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

# It has a box with its code point for every character.
_LAST_RESORT = "Last Resort"


def families(texts: Iterable[str]) -> list[str]:
    """Returns the font families that `texts` need, matplotlib's own first, installed ones after."""
    usual = matplotlib.rcParams["font.family"]
    found = {character: _family_with(character) for text in texts for character in text}
    return [*usual, *sorted({family for family in found.values() if family})]


def class_names(names: Sequence[str]) -> list[str]:
    """Returns names that can be drawn: "class 3" for one with a character that no font has."""
    return [
        name if legible(name) == name else f"class {number}" for number, name in enumerate(names)
    ]


def legible(text: str) -> str:
    """Returns `text` with a question mark for each character that no font has."""
    return "".join("?" if _family_with(character) is None else character for character in text)


@functools.cache
def _family_with(character: str) -> str | None:
    """Returns "" where the usual family has it or nothing is drawn, None where no font has it."""
    if character == "\n" or ord(character) in _characters(matplotlib.rcParams["font.family"][0]):
        return ""
    for family in sorted({entry.name for entry in font_manager.fontManager.ttflist}):
        if not family.startswith(_LAST_RESORT) and ord(character) in _characters(family):
            return family
    return None


@functools.cache
def _characters(family: str) -> frozenset[int]:
    """Returns the code points of the regular font of a family, which others may exceed."""
    wanted = font_manager.FontProperties(family=[family])
    try:
        path = font_manager.findfont(wanted, fallback_to_default=False, rebuild_if_missing=False)
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):  # a font file that is damaged or has gone
        return frozenset()
