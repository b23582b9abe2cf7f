"""Texts that nobody can tell apart by looking: they differ in white space, in characters without width, or in their
Unicode form alone.

Two ids or options of that kind would be two to a program and one to whoever reads the answers. Letters that look alike,
such as Latin a and Cyrillic а, are not looked for, and neither is case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from framegate.schemas.escape import INVISIBLE

# Of no width: what `escape` writes out, among it characters that Unicode has not given a meaning yet.
_NO_WIDTH = re.compile(f"[{INVISIBLE}]")
_BLANK = "\u2800"  # a Braille pattern without dots: a space that is none to Python


def fold(text: str) -> str:
    """What is left to see of a text: in the form NFKC, without characters that have no width, and with one space
    wherever there is white space between words. Two texts with the same are twins."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = unicodedata.normalize("NFKC", text.replace(_BLANK, " "))
    seen = "".join(char for char in text if not _has_no_width(char))
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
    return not char.isspace() and (unicodedata.category(char) in ("Cf", "Cc") or _NO_WIDTH.match(char) is not None)


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 120 else shown[:120] + "…'"
