"""When each frame of a video is shown, as far as its packets have been read: whole ticks, no pictures."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

# No codec shows a frame after more than so many that are decoded later (H.264 and H.265: a buffer of 16 frames).
MAX_REORDERED = 16


class IrregularPackets(Exception):
    """The packets of this video do not tell its frames, or not in an order that can be relied on."""


class FrameStarts:
    """Start ticks of frames, learnt from packets in decode order, and forgotten once they lie behind the display."""

    def __init__(self) -> None:
        self._ticks: list[int] = []  # ascending
        self._settled_ticks: int | None = None  # no packet still to come may start a frame at or before this
        self._dts: int | None = None  # decode time of the last packet
        self._is_dts_reliable = True

    def __bool__(self) -> bool:
        return bool(self._ticks)

    @property
    def newest(self) -> int:
        return self._ticks[-1]

    def note_dts(self, dts: int, pts: int) -> None:
        """A packet's decode time. Matroska stores none, and what FFmpeg guesses may be wrong after a seek."""
        is_ascending = self._dts is None or dts >= self._dts
        self._is_dts_reliable &= is_ascending and dts <= pts
        self._dts = dts

    def add(self, ticks: int) -> None:
        """Raises IrregularPackets where a frame with this start is known, or ruled out by `settle`."""
        place = bisect_left(self._ticks, ticks)
        if place < len(self._ticks) and self._ticks[place] == ticks:
            raise IrregularPackets("two frames have the same time")
        if self._settled_ticks is not None and ticks <= self._settled_ticks:
            raise IrregularPackets("a frame comes after later ones")
        self._ticks.insert(place, ticks)

    def is_settled(self, limit_ticks: int, reorder_depth: int) -> bool:
        """Whether no packet still to come can hold a frame that starts at or before the limit.

        A decoder holds back at most `reorder_depth` frames. A packet decoded after the limit cannot be shown before it.
        """
        num_later = len(self._ticks) - bisect_right(self._ticks, limit_ticks)
        if self._dts is None or not self._is_dts_reliable or self._dts <= limit_ticks:
            return num_later > MAX_REORDERED
        return num_later > min(reorder_depth, MAX_REORDERED)

    def settle(self, limit_ticks: int) -> None:
        """From now on, a frame at or before the limit is irregular."""
        self._settled_ticks = limit_ticks if self._settled_ticks is None else max(limit_ticks, self._settled_ticks)

    def on_display(self, limit_ticks: int) -> int:
        """The last start at or before the limit, or else the first. Raises IrregularPackets where none is known."""
        if not self._ticks:
            raise IrregularPackets("no packet has a time")
        return self._ticks[max(0, bisect_right(self._ticks, limit_ticks) - 1)]

    def after(self, ticks: int) -> int | None:
        """The next start after `ticks`; None where none is known yet."""
        place = bisect_right(self._ticks, ticks)
        return self._ticks[place] if place < len(self._ticks) else None

    def forget_before(self, ticks: int) -> None:
        del self._ticks[: bisect_left(self._ticks, ticks)]
