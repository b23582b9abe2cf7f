"""Which videos and units travel together. What one costs the driver, it costs for a block of many as well.

Today's figures for a film of two seconds: 11 ms of the driver and 3 ms of Ray's own process for each block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

MAX_BLOCK_VIDEOS: Final = 16
MAX_BLOCK_VIDEO_BYTES: Final = 8 * 2**20
"""Of files that are decoded before the first of their units moves on: some seconds of work. A larger video is alone."""

MAX_BLOCK_UNITS: Final = 16
MAX_BLOCK_FRAME_BYTES: Final = 16 * 2**20
"""As of one unit: a block crosses the object store whole."""


def sizes_bytes(videos: pa.Table) -> list[int]:
    """What each row in PARTS counts for `together`: a part of a video, which is long, as much as fills a block."""
    sizes = videos.column("video_size_bytes").to_pylist()
    if "num_parts" not in videos.column_names:
        return sizes
    num_parts = videos.column("num_parts").to_pylist()
    return [size if number == 1 else MAX_BLOCK_VIDEO_BYTES + 1 for size, number in zip(sizes, num_parts, strict=True)]


def together(sizes_bytes: Sequence[int], max_videos: int) -> Iterator[range]:
    """Videos of these sizes in order, as ranges of those that make one block. Depends on nothing else.

    A range that is cut off where a block ends gives the blocks that the whole gives.
    """
    start, num_bytes = 0, 0
    for place, size_bytes in enumerate(sizes_bytes):
        is_full = place - start == max_videos or num_bytes + size_bytes > MAX_BLOCK_VIDEO_BYTES
        if is_full and place > start:
            yield range(start, place)
            start, num_bytes = place, 0
        num_bytes += size_bytes
    if start < len(sizes_bytes):
        yield range(start, len(sizes_bytes))
