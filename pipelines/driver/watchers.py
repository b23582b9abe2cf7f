"""Watchers: each hears every receipt of a run, and may say that the run should end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from framegate.pipelines.commit.journal import Receipt


class Watcher(Protocol):
    def feed(self, receipt: Receipt) -> str | None:
        """Takes the receipt of one unit. Returns one sentence where the run should end, else None."""
        ...


def feed_all(watchers: Iterable[Watcher], receipt: Receipt) -> str | None:
    """Every watcher takes the receipt. Returns the sentence of the first that wants the run to end."""
    sentences = [watcher.feed(receipt) for watcher in watchers]
    return next((sentence for sentence in sentences if sentence is not None), None)
