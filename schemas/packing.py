"""Keys of rows as numbers that sort: (video, question, clip) in one int64, 8 bytes instead of a tuple's 200.

Knows nothing of what a key stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.schemas.errors import FramegateError


@dataclass(frozen=True)
class Packing:
    """How keys are made: places among the sorted `videos`, among `questions`, and a clip below `num_clips`."""

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


def places_of(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """int64: the place of each value among distinct ones, -1 where it is none of them. Runs of a value are looked up
    once: sealed rows are sorted by video."""
    if len(values) == 0 or len(among) == 0:
        return np.full(len(values), -1)
    order = np.argsort(among)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    found = order[np.minimum(np.searchsorted(among, values[starts], sorter=order), len(among) - 1)]
    found[among[found] != values[starts]] = -1
    return np.repeat(found, np.diff(np.append(starts, len(values))))
