"""The pixels of a unit's clips as one stretch of bytes, and back. A clip that shares another one's adds none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from framegate.schemas.still import SameAs


def pack_pixels(frames: Iterable[np.ndarray]) -> bytes:
    """One after the other, each uint8 (T, H, W, 3)."""
    return b"".join(np.ascontiguousarray(frames_THWC).data for frames_THWC in frames)


def unpack_pixels(
    rows: Iterable[Mapping[str, Any]], frames: pa.Scalar
) -> Iterator[tuple[Mapping[str, Any], np.ndarray, SameAs | None]]:
    """Each row of DECODED's clips with its frames, which are views into `frames`, and what it shows the same as."""
    pixels = np.frombuffer(frames.as_buffer() or b"", dtype=np.uint8)
    offset, found = 0, dict[int, np.ndarray]()
    for row in rows:
        same_as = None if row["same_as"] is None else SameAs.of_row(row["same_as"])
        if same_as is not None and not same_as.asked:
            frames_THWC = found[same_as.clip_index]
        else:
            shape = (row["num_frames"], row["height"], row["width"], 3)
            size = int(np.prod(shape))
            frames_THWC = pixels[offset : offset + size].reshape(shape)
            offset += size
        found[row["clip_index"]] = frames_THWC
        yield row, frames_THWC, same_as
