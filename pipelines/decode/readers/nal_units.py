"""Where the units begin of which an H.264 or HEVC packet consists."""

from __future__ import annotations

from collections.abc import Iterator


class NalUnits:
    """Splits packets of one stream. Units have their length before them where `extradata` is a record of
    ISO/IEC 14496-15, else start codes."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._num_length_bytes = 0
        if codec == "h264" and len(extradata) > 6 and extradata[0] == 1:
            self._num_length_bytes = (extradata[4] & 3) + 1
        elif codec == "hevc" and len(extradata) > 22 and extradata[:3] not in (b"\0\0\0", b"\0\0\1"):
            self._num_length_bytes = (extradata[21] & 3) + 1

    def of(self, data: bytes) -> Iterator[tuple[int, int]]:
        """[start, end) of each unit; of a packet's first bytes alone, the last one may end behind them."""
        if self._num_length_bytes and not data.startswith(b"\0\0\0\1"):
            yield from self._after_lengths(data)
            return
        start = data.find(b"\0\0\1") + 3
        while start >= 3:
            next_start = data.find(b"\0\0\1", start) + 3
            yield start, next_start - 3 if next_start >= 3 else len(data)
            start = next_start

    def _after_lengths(self, data: bytes) -> Iterator[tuple[int, int]]:
        start = self._num_length_bytes
        while start < len(data):
            end = start + int.from_bytes(data[start - self._num_length_bytes : start], "big")
            yield start, end
            start = end + self._num_length_bytes
