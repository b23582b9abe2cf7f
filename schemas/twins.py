"""Texts that nobody can tell apart by looking: they differ in white space, in characters without width, or in their
Unicode form alone.

Two ids or options of that kind would be two to a program and one to whoever reads the answers. Letters that look alike,
such as Latin a and Cyrillic а, are not looked for, and neither is case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Of no width, and yet no format character (category Cf): joiners, fillers of Hangul, and selectors of variants.
_NO_WIDTH = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | {
    chr(number) for first, last in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for number in range(first, last + 1)
}


def fold(text: str) -> str:
    """What is left to see of a text: in the form NFKC, without characters that have no width, and with one space
    wherever there is white space between words. Two texts with the same are twins."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    seen = "".join(char for char in unicodedata.normalize("NFKC", text) if not _has_no_width(char))
    return " ".join(unicodedata.normalize("NFKC", seen).split())


def find_twins(texts: Iterable[str]) -> tuple[str, str] | None:
    """The first two that are not equal and look the same, if there are any."""
    seen: dict[str, str] = {}
    for text in texts:
        other = seen.setdefault(fold(text), text)
        if other != text:
            return other, text
    return None


def tell_twins(one: str, other: str) -> str:
    """A clause that shows where two twins differ: what cannot be seen is written as an escape."""
    return (
        f"{_shown(one)} and {_shown(other)} differ only in white space, characters without width or Unicode form, which"
        " nobody sees"
    )


def _has_no_width(char: str) -> bool:
    return (unicodedata.category(char) in ("Cf", "Cc") and not char.isspace()) or char in _NO_WIDTH


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 120 else shown[:120] + "…'"
