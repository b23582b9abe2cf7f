"""Ids and keys as numbers that fit into numpy arrays.

id    a video_id or question_hash of 16 hex digits: a uint64, exact both ways; a million of them are 8 MB
key   (video, question, clip): an int64 (`Packing`)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

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


def index_digest(uri: str, version: str, index_format: int) -> str:
    """32 hex digits that name the index of one version of a tar shard."""
    return hashlib.sha256(f"{uri}\n{version}\n{index_format}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Packing:
    """How (video, question, clip) becomes one int64: 8 bytes instead of a tuple's 200, and sorted like the triples.

    A video is its position among the sorted `videos`, a question its position among `questions`; clips are below
    `num_clips`.
    """

    videos: np.ndarray
    questions: np.ndarray
    num_clips: int

    @staticmethod
    def make(videos: np.ndarray, questions: np.ndarray, tables: Sequence[pa.Table]) -> Packing:
        """`videos` uint64, sorted, each once; `questions` uint64, each once; room for the clips of `tables`.

        Raises FramegateError where 64 bits do not do: beyond a million videos, a thousand questions, a billion clips.
        """
        columns = [table.column("clip_index") for table in tables]
        bounds = [pc.call_function("min_max", [column]).as_py() for column in columns]
        lowest = min(bound["min"] or 0 for bound in bounds)
        num_clips = 1 + max(0, *(bound["max"] or 0 for bound in bounds))
        if lowest < 0 or len(videos) * max(len(questions), 1) * num_clips >= 2**62:
            raise FramegateError(
                f"{len(videos):,} videos, {len(questions):,} questions and clips from {lowest:,} to {num_clips - 1:,}"
                " cannot be planned together; divide the input"
            )
        return Packing(videos, questions, num_clips)

    def keys(self, video: np.ndarray, question: np.ndarray, clip: np.ndarray) -> np.ndarray:
        """int64; ascending in video, question, clip."""
        return (video * len(self.questions) + question) * self.num_clips + clip

    def unpack(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (video * number of questions + question), questions and clips."""
        pairs = keys // self.num_clips
        return pairs, pairs % max(len(self.questions), 1), keys - pairs * self.num_clips


def positions_among(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """int64: the position of each value among distinct ones, -1 where it is none of them.

    A run of equal values is looked up once: sealed rows are sorted by video.
    """
    if len(values) == 0 or len(among) == 0:
        return np.full(len(values), -1)
    order = np.argsort(among)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    found = order[np.minimum(np.searchsorted(among, values[starts], sorter=order), len(among) - 1)]
    found[among[found] != values[starts]] = -1
    return np.repeat(found, np.diff(np.append(starts, len(values))))
