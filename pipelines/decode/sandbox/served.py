"""What storage may be asked for on behalf of a decoder's process: bytes for each request of ours, seconds for a video.

A decoder waits while its bytes are fetched, so that its own deadlines do not count that. These limits do: no process
can make its parent read for ever, or pay for ever.
"""

from __future__ import annotations

from typing import Final

from framegate.schemas.config import DecodeConfig
from framegate.schemas.errors import DecodeTimeout

# To index a file, to seek in it and to read it takes a round each. The process itself gives up a decoder that
# reads half as many rounds without a frame, see `child.MAX_READ_ROUNDS`; this holds where the process is hostile.
READ_ROUNDS: Final = 8
# Beside these, so that small files, which a search for key frames may read over and over, are never near the limit.
SPARE_BYTES: Final = 64 << 20
# What one request counts at least: it takes its time, and costs money, however few bytes it asks for.
REQUEST_BYTES: Final = 16 << 10


class Served:
    """What one open video has been served."""

    def __init__(self, limits: DecodeConfig, *, size_bytes: int) -> None:
        self._video_seconds = limits.video_seconds
        self._size_bytes = size_bytes
        self._num_bytes = 0
        self._seconds = 0.0

    def begin(self) -> None:
        """A new request of ours: it may read the file anew."""
        self._num_bytes = 0

    def add_bytes(self, num_bytes: int) -> None:
        """Before they are fetched. Raises DecodeTimeout."""
        self._num_bytes += max(num_bytes, REQUEST_BYTES)
        limit_bytes = READ_ROUNDS * self._size_bytes + SPARE_BYTES
        if self._num_bytes > limit_bytes:
            raise DecodeTimeout(
                f"The decoder asked for more than {limit_bytes:,} bytes of a file of {self._size_bytes:,}, over and "
                "over, without giving what it was asked for."
            )

    def add_seconds(self, seconds: float) -> None:
        """After them. Raises DecodeTimeout."""
        self._seconds += seconds
        if self._seconds > self._video_seconds:
            raise DecodeTimeout(
                f"Reading the video from storage took more than {self._video_seconds:g} seconds (decode.video_seconds)."
            )
