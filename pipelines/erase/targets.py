"""Which videos are meant, by digest or prefix of their URIs. Knows nothing of storage."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from framegate.pipelines.commit.layout import uri_digest

_TOKEN = re.compile(r"[^\s\"'`<>()\[\]{},;]+")  # what may be a URI in the middle of a sentence


@dataclass(frozen=True)
class Wanted:
    """Videos by digest of the URI, or by what the URI begins with.

    `uris` are the wanted URIs, sorted, where they are known: statistics can then rule a file out unread.
    """

    digests: frozenset[str] = frozenset()
    uris: tuple[str, ...] | None = None
    prefix: str | None = None

    @classmethod
    def of(cls, uris: Iterable[str]) -> Wanted:
        known = tuple(sorted(set(uris)))
        return cls(digests=frozenset(map(uri_digest, known)), uris=known)

    def among(self, uris: Iterable[str]) -> set[str]:
        """Those of `uris` that are wanted."""
        if self.prefix is not None:
            return {uri for uri in uris if uri.startswith(self.prefix)}
        return {uri for uri in uris if uri_digest(uri) in self.digests}

    def may_lie_between(self, low: str, high: str) -> bool:
        """False where no wanted URI is in [low, high]."""
        if self.prefix is not None:
            return low[: len(self.prefix)] <= self.prefix <= high[: len(self.prefix)]
        if self.uris is None:
            return True
        place = bisect_left(self.uris, low)
        return place < len(self.uris) and self.uris[place] <= high

    def named_in(self, text: str) -> set[str]:
        """The wanted URIs that stand in a text: as the whole of it, or as a word, punctuation around it aside."""
        words = _TOKEN.findall(text)
        return self.among({text, *words, *(word.rstrip(".:!?") for word in words)} - {""})


def redact(value: object, wanted: Wanted, word: Callable[[str], str]) -> object:
    """JSON values with every wanted URI in their texts, keys included, replaced by `word(uri)`."""
    if isinstance(value, dict):
        return {redact(key, wanted, word): redact(inner, wanted, word) for key, inner in value.items()}
    if isinstance(value, list):
        return [redact(inner, wanted, word) for inner in value]
    if isinstance(value, str):
        for uri in sorted(wanted.named_in(value), key=len, reverse=True):  # the longest first: one may begin another
            value = value.replace(uri, word(uri))
    return value
