"""One video scanned for cuts by several workers at once: each window by one of them.

Who decodes a part of a video with scenes has to know how many clips lie before it, and so all cuts from its beginning
on. A worker scans the windows of its own part first, tells what it found, and takes over what nobody has scanned yet.
That saves time and nothing else: what a window finds is the same whoever scans it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from framegate.pipelines.decode.scan import Scan, Window
from framegate.schemas.errors import VideoError

# A window takes seconds to scan, and of a large picture a minute. Whoever has had one for longer may be dead.
CLAIM_SECONDS = 90.0
POLL_SECONDS = 0.05


class Scanned(NamedTuple):
    """A window, or the error that ended its decoder."""

    window: Window | None = None
    error: VideoError | None = None

    @property
    def is_last(self) -> bool:
        return self.window is None or self.window.is_last


class Taken(NamedTuple):
    """What is known of the windows that were asked for, and one of them that is to be scanned by who asked; None:
    others are at work on all that is left."""

    known: dict[int, Scanned]
    to_scan: int | None


class CutsBoard(Protocol):
    """What the workers of a run know of each other's scans. `film` names a video and what decodes it."""

    def take(self, film: str, wanted: Sequence[int]) -> Taken:
        """`wanted` in the order in which they are to be scanned."""
        ...

    def tell(self, film: str, number: int, scanned: Scanned | None) -> None:
        """None: it was not scanned after all."""
        ...


class LocalCutsBoard:
    """The board of one process. Not thread-safe: in an actor it has one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Scanned] = {}
        self._claimed_at: dict[tuple[str, int], float] = {}

    def take(self, film: str, wanted: Sequence[int]) -> Taken:
        """See `CutsBoard`."""
        known = {number: self._known[film, number] for number in wanted if (film, number) in self._known}
        now = time.monotonic()
        for number in wanted:
            claimed_at = self._claimed_at.get((film, number))
            if number not in known and (claimed_at is None or now - claimed_at > CLAIM_SECONDS):
                self._claimed_at[film, number] = now
                return Taken(known, number)
        return Taken(known, None)

    def tell(self, film: str, number: int, scanned: Scanned | None) -> None:
        """See `CutsBoard`."""
        self._claimed_at.pop((film, number), None)
        if scanned is not None:
            self._known[film, number] = scanned


class SharedScan:
    """The windows of one open video, each scanned here or by another worker."""

    def __init__(self, scan: Scan, board: CutsBoard, film: str) -> None:
        self._scan, self._board, self._film = scan, board, film
        self._known: dict[int, Scanned] = {}
        self._last: int | None = None  # the first one known to be the last
        self.is_reader_gone = False

    def windows(self, own: range) -> Iterator[Window]:
        """From the first window on to the last. Those of `own` are scanned before any other; those behind `own` are
        looked at one by one as they are asked for.

        Raises as `Scan.window`, also what another worker met. Where it was met here, the video is to be opened again
        (`is_reader_gone`), and the windows are then found up to that one.
        """
        self._find([*own, *range(own.start)])
        number = 0
        while True:
            self._find([number])
            scanned = self._known[number]
            if scanned.error is not None:
                raise scanned.error
            assert scanned.window is not None
            yield scanned.window
            if scanned.is_last:
                return
            number += 1

    def _find(self, wanted: Sequence[int]) -> None:
        """Waits until all `wanted` are known, but for those behind the last one."""
        while missing := [number for number in wanted if self._is_missing(number)]:
            taken = self._board.take(self._film, missing)
            for number, scanned in taken.known.items():
                self._learn(number, scanned)
            if taken.to_scan is not None:
                self._scan_one(taken.to_scan)
            elif len(taken.known) < len(missing):
                time.sleep(POLL_SECONDS)

    def _is_missing(self, number: int) -> bool:
        return number not in self._known and (self._last is None or number < self._last)

    def _learn(self, number: int, scanned: Scanned) -> None:
        self._known[number] = scanned
        if scanned.is_last and (self._last is None or number < self._last):
            self._last = number

    def _scan_one(self, number: int) -> None:
        try:
            scanned = Scanned(window=self._scan.window(number))
        except VideoError as error:
            self.is_reader_gone = True
            self._board.tell(self._film, number, Scanned(error=error))
            raise
        except BaseException:
            self._board.tell(self._film, number, None)
            raise
        self._board.tell(self._film, number, scanned)
        self._learn(number, scanned)
