"""Ids as numbers: a video_id or question_hash of 16 hex digits is 64 bits, and a million of them are 8 MB.

Exact, both ways: no digest of a digest. Knows nothing of what an id stands for.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.schemas.errors import FramegateError

HEX_DIGITS = 16
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def id_number(text: str) -> int:
    """One id as a number."""
    return int(text, 16)


def id_text(number: int) -> str:
    """The id that `id_number` came from."""
    return f"{number:016x}"


def id_numbers(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64 of each id, in order; a null is 0. Raises FramegateError where one is not 16 hex digits."""
    if isinstance(ids, pa.ChunkedArray):
        return np.concatenate([np.empty(0, np.uint64), *(id_numbers(chunk) for chunk in ids.chunks)])
    if isinstance(ids, pa.DictionaryArray):
        words = id_numbers(ids.dictionary)
        places = pc.fill_null(ids.indices, len(words)).to_numpy(zero_copy_only=False)
        return np.append(words, np.uint64(0))[places]
    filled = pc.fill_null(ids, "0" * HEX_DIGITS)
    lengths = pc.call_function("binary_length", [filled]).to_numpy(zero_copy_only=False)
    if (lengths != HEX_DIGITS).any():
        raise FramegateError(f"an id is not {HEX_DIGITS} hex digits long; was the table written by something else?")
    wide = pc.cast(filled, pa.large_string())
    _, offsets, data = wide.buffers()
    first = int(np.frombuffer(offsets, np.int64)[wide.offset]) if len(wide) else 0  # slices keep their parent's data
    text = np.frombuffer(data or b"", np.uint8)[first : first + len(wide) * HEX_DIGITS]
    nibbles = _NIBBLES[text].reshape(-1, HEX_DIGITS)
    if (nibbles > 15).any():
        raise FramegateError("an id holds other characters than hex digits; was the table written by something else?")
    packed = (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]
    return np.ascontiguousarray(packed).view(">u8").reshape(-1).astype(np.uint64)


def uri_digest(uri: str) -> str:
    """32 hex digits that stand for a URI where it must not be readable: in tombstones and receipts."""
    return hashlib.sha256(uri.encode()).hexdigest()[:32]
