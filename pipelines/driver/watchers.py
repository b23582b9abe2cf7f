"""Watchers: each hears every receipt of a run, and may say in a sentence that the run should end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.run import Stop, StopCode


class Watcher(Protocol):
    code: ClassVar[StopCode]
    """What a run that it ends was stopped by."""

    def feed(self, receipt: Receipt) -> str | None:
        """Takes the receipt of one unit. Returns one sentence where the run should end, else None."""
        ...


def feed_all(watchers: Iterable[Watcher], receipt: Receipt) -> Stop | None:
    """Every watcher takes the receipt. Returns what the first of those says that want the run to end."""
    said = [(watcher, watcher.feed(receipt)) for watcher in watchers]
    stops = (Stop(code=watcher.code, sentence=sentence) for watcher, sentence in said if sentence is not None)
    return next(stops, None)
