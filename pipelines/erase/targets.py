"""The videos that an erasure is about, by digest or by prefix of their URIs."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from framegate.schemas.keys import uri_digest

_TOKEN = re.compile(r"[^\s\"'`<>()\[\]{},;]+")  # what may be a URI in the middle of a sentence


@dataclass(frozen=True)
class Targets:
    """Videos by digest of the URI, or by what the URI begins with.

    `uris` are their URIs, sorted, where they are known: then the statistics of a file can rule it out unread.
    """

    digests: frozenset[str] = frozenset()
    uris: tuple[str, ...] | None = None
    prefix: str | None = None

    @classmethod
    def of(cls, uris: Iterable[str]) -> Targets:
        known = tuple(sorted(set(uris)))
        return cls(digests=frozenset(map(uri_digest, known)), uris=known)

    def among(self, uris: Iterable[str]) -> set[str]:
        """Those of `uris` that are targets."""
        if self.prefix is not None:
            return {uri for uri in uris if uri.startswith(self.prefix)}
        return {uri for uri in uris if uri_digest(uri) in self.digests}

    def may_lie_between(self, low: str, high: str) -> bool:
        """False where no target's URI is in [low, high]."""
        if self.prefix is not None:
            return low[: len(self.prefix)] <= self.prefix <= high[: len(self.prefix)]
        if self.uris is None:
            return True
        place = bisect_left(self.uris, low)
        return place < len(self.uris) and self.uris[place] <= high

    def named_in(self, text: str) -> set[str]:
        """The targets' URIs in a text: the whole text, or one of its words without the punctuation around it; a known
        one that is no single word, such as a name with blanks or brackets, anywhere in it."""
        words = _TOKEN.findall(text)
        odd = {uri for uri in self.uris or () if uri in text and not _TOKEN.fullmatch(uri)}
        return odd | self.among({text, *words, *(word.rstrip(".:!?") for word in words)} - {""})


def redact(value: object, targets: Targets, word: Callable[[str], str]) -> object:
    """A JSON value in whose texts, keys included, each target's URI is replaced by `word(uri)`."""
    if isinstance(value, dict):
        return {redact(key, targets, word): redact(inner, targets, word) for key, inner in value.items()}
    if isinstance(value, list):
        return [redact(inner, targets, word) for inner in value]
    if isinstance(value, str):
        for uri in sorted(targets.named_in(value), key=len, reverse=True):  # the longest first: one may begin another
            value = value.replace(uri, word(uri))
    return value
