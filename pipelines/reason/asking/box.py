r"""Finds `\boxed{...}` while tokens are produced, and which tokens an answer is made of.

Tokens arrive as the bytes that they write. A character that is split over two tokens needs no care: `\`, `{` and `}`
are ASCII and never part of a longer UTF-8 character, and byte offsets say exactly which token wrote what. Nothing is
ever tokenised again.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

OPENING = b"\\boxed{"
_OPENING_BRACE, _CLOSING_BRACE = ord("{"), ord("}")
# What the published models write when they would rather think first; both apostrophes occur.
_FALLBACK = re.compile(r"\s*let['\u2019]s analy[sz]e\b", re.IGNORECASE)


def is_fallback(text: str) -> bool:
    """Whether `text` starts with the fallback sentence ("Let's analyze ..."), which is no answer."""
    return _FALLBACK.match(text) is not None


@dataclass(frozen=True)
class Box:
    """One closed box: byte offsets [start, end) of its content in the produced text."""

    content: str
    start: int
    end: int


class BoxFinder:
    """The text of one sequence as it grows, and the boxes that close in it, one after the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._token_ends: list[int] = []
        self._scan = 0
        self._content_start: int | None = None
        self._depth = 0

    @property
    def num_bytes(self) -> int:
        return len(self._bytes)

    def text(self, start: int = 0, end: int | None = None) -> str:
        """The text between two byte offsets; bytes that are no (or not yet) UTF-8 become U+FFFD."""
        return self._bytes[start:end].decode("utf-8", "replace")

    def feed(self, piece: bytes) -> Box | None:
        """Take the next token's bytes; return the box that this token closes, if it closes one.

        Braces inside a box are balanced, so `\\boxed{\\frac{1}{2}}` is one box.
        """
        self._bytes += piece
        self._token_ends.append(len(self._bytes))
        if self._content_start is None and not self._open():
            return None
        return self._close()

    def copy(self) -> BoxFinder:
        """Another one with the same text, which grows on its own."""
        other = copy.copy(self)
        other._bytes, other._token_ends = bytearray(self._bytes), list(self._token_ends)
        return other

    def restart(self) -> None:
        """Forget a box that is still open; look for the next opening, which may be half written by now."""
        self._content_start = None
        self._scan = max(0, len(self._bytes) - len(OPENING) + 1)

    def tokens_overlapping(self, start: int, end: int) -> range:
        """Indices of the tokens that wrote at least one of the bytes [start, end)."""
        if start >= end:
            return range(0)
        first = bisect_right(self._token_ends, start)
        last = bisect_left(self._token_ends, end)
        return range(first, last + 1)

    def _open(self) -> bool:
        found = self._bytes.find(OPENING, self._scan)
        if found < 0:
            # An opening may be half written: keep all that could still become one.
            self._scan = max(self._scan, len(self._bytes) - len(OPENING) + 1)
            return False
        self._content_start = self._scan = found + len(OPENING)
        self._depth = 1
        return True

    def _close(self) -> Box | None:
        assert self._content_start is not None
        for offset in range(self._scan, len(self._bytes)):
            byte = self._bytes[offset]
            if byte == _OPENING_BRACE:
                self._depth += 1
            elif byte == _CLOSING_BRACE:
                self._depth -= 1
            if self._depth == 0:
                box = Box(self.text(self._content_start, offset), self._content_start, offset)
                self._scan, self._content_start = offset + 1, None
                return box
        self._scan = len(self._bytes)
        return None
