"""How much of a run's work is left, and how fast it goes: what its time left is told from.

Work is counted in rows: one for each question that is missing at a clip. How many clips a video has is known once its
first unit is here, which brings the number; until then it is told from the video's size (`_ClipsBySize`).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.run import Pace

BINS_PER_OCTAVE: Final = 4
NUM_BINS: Final = 64 * BINS_PER_OCTAVE
TRUSTED: Final = 30.0  # videos an octave apart in size that weigh as much as the belief that clips go by the byte
MAX_SAMPLES: Final = 512
MIN_SECONDS: Final = 1.0  # several units may be heard of at once, which tells no speed


class Forecast:
    """What is left of the planned videos. 24 bytes for each of them, and a few steps for each receipt.

    `clock` gives seconds that only go up. It is asked at each receipt.
    """

    def __init__(
        self, videos: pa.Table, *, clips_by_size: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`videos` in PLANNED, all of which are expected; a receipt's `place` is that of its video among them. Without
        `clips_by_size` a large video has no more clips than a small one."""
        sizes = pc.fill_null(videos.column("video_size_bytes"), 0).to_numpy()
        refused = videos.column("refusal").is_valid().to_numpy()
        self._bins = (np.log2(np.maximum(sizes, 1)) * BINS_PER_OCTAVE).astype(np.int16)
        self._questions = np.where(refused, 0, _lengths(videos, "question_hashes"))
        self._done_before = _lengths(videos, "done")
        self._rows = np.zeros(videos.num_rows, np.int32)
        self._clips = np.zeros(videos.num_rows, np.float32)  # of those begun, as far as is known
        self._left = np.full(videos.num_rows, np.nan, np.float32)  # rows of those begun
        self._is_final = np.zeros(videos.num_rows, bool)
        self._left_begun = 0.0
        self._by_size = _ClipsBySize(belief=1.0 if clips_by_size else 0.0)
        self._speed = _Speed(clock)
        self.expect(np.ones(videos.num_rows, bool))

    def expect(self, is_expected: np.ndarray) -> None:
        """Of what is not begun, only these videos are this run's; the others are done elsewhere."""
        self._is_waiting = is_expected & np.isnan(self._left)
        bins, questions = self._bins[self._is_waiting], self._questions[self._is_waiting]
        self._waiting = np.bincount(bins, weights=questions, minlength=NUM_BINS)
        self._waiting_done = int(self._done_before[self._is_waiting].sum())

    def add(self, place: int, receipt: Receipt) -> None:
        """A unit of the video at `place` is committed."""
        is_first = bool(np.isnan(self._left[place]))
        if is_first:
            self._begin(place)
        rows = 0 if receipt.undecoded else receipt.num_answers + receipt.num_failures
        self._rows[place] += rows
        self._learn_clips(place, receipt)
        whole = float(self._clips[place]) * self._questions[place] - self._done_before[place]
        left = max(0.0, whole - self._rows[place])
        self._left_begun += left - (0.0 if is_first else float(self._left[place]))
        self._left[place] = left
        self._speed.add(rows)

    def pace(self) -> Pace | None:
        """None until something can be told from what was done."""
        if (spent := self._speed.spent()) is None:
            return None
        waiting = max(0.0, float(self._waiting @ self._by_size.expected()) - self._waiting_done)
        rows, seconds = spent
        return Pace(num_rows=rows, seconds=seconds, num_rows_left=max(0.0, self._left_begun) + waiting)

    def _begin(self, place: int) -> None:
        self._by_size.add_video(self._bins[place])
        if self._is_waiting[place]:
            self._is_waiting[place] = False
            self._waiting[self._bins[place]] -= self._questions[place]
            self._waiting_done -= int(self._done_before[place])

    def _learn_clips(self, place: int, receipt: Receipt) -> None:
        """The last clip tells how many there are, whatever the container says; so does the place where frames end."""
        clips, questions = float(self._clips[place]), int(self._questions[place])
        if receipt.undecoded or receipt.has_last:
            self._is_final[place] = True
        if receipt.undecoded:
            clips = (int(self._done_before[place]) + int(self._rows[place])) / max(1, questions)
        elif receipt.video_clips is not None and (receipt.has_last or not self._is_final[place]):
            clips = receipt.video_clips
        self._by_size.add_clips(self._bins[place], clips - float(self._clips[place]))
        self._clips[place] = clips


class KnownRows:
    """The same where the rows are known: those that are deepened, and nothing else."""

    def __init__(self, videos: pa.Table, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = _lengths(videos, "wanted")
        self._is_expected = np.ones(videos.num_rows, bool)
        self._speed = _Speed(clock)

    def expect(self, is_expected: np.ndarray) -> None:
        """These videos alone are this run's."""
        self._is_expected = is_expected

    def add(self, place: int, receipt: Receipt) -> None:
        """A unit of the video at `place` is committed."""
        rows = receipt.num_deepened + receipt.num_failures
        self._left[place] = max(0, int(self._left[place]) - rows)
        self._speed.add(rows)

    def pace(self) -> Pace | None:
        """None until something can be told from what was done."""
        if (spent := self._speed.spent()) is None:
            return None
        rows, seconds = spent
        return Pace(num_rows=rows, seconds=seconds, num_rows_left=float(self._left[self._is_expected].sum()))


class _ClipsBySize:
    """How many clips a video of some size has, as those begun tell: a power of the size, fitted to bins of it.

    By the byte alone would not do. Large work comes first, and among the largest files are those of a high bit rate,
    so that what is left would be taken for less: by 8 % on average, where bit rates differ by a third.
    """

    def __init__(self, *, belief: float) -> None:
        """`belief`: the power before anything is known."""
        self._belief = belief
        self._videos, self._clips = np.zeros(NUM_BINS), np.zeros(NUM_BINS)
        self._octaves = (np.arange(NUM_BINS) + 0.5) / BINS_PER_OCTAVE

    def add_video(self, bin: int) -> None:
        self._videos[bin] += 1

    def add_clips(self, bin: int, clips: float) -> None:
        self._clips[bin] += clips

    def expected(self) -> np.ndarray:
        """Clips of a video in each bin. All that was begun together is met exactly, videos without clips included."""
        some = self._clips > 0.5
        if not some.any():
            return np.zeros(NUM_BINS)
        weights, octaves = self._videos[some], self._octaves[some]
        logs = np.log2(self._clips[some] / weights)
        deviations = octaves - np.average(octaves, weights=weights)
        power = (weights @ (deviations * logs) + TRUSTED * self._belief) / (weights @ deviations**2 + TRUSTED)
        shape = np.exp2(float(np.clip(power, 0, 2)) * (self._octaves - octaves.max()))
        return shape * self._clips.sum() / (self._videos @ shape)


class _Speed:
    """Rows by time, of which the later half of the time counts: what filled the pipeline at first says nothing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: list[float] = []
        self._rows_then: list[int] = []
        self._num_added, self._every = 0, 1
        self._now, self._num_rows = 0.0, 0

    def add(self, rows: int) -> None:
        self._now, self._num_rows = self._clock(), self._num_rows + rows
        if self._num_added % self._every == 0:
            self._times.append(self._now)
            self._rows_then.append(self._num_rows)
        self._num_added += 1
        if len(self._times) == MAX_SAMPLES:
            del self._times[1::2], self._rows_then[1::2]
            self._every *= 2

    def spent(self) -> tuple[int, float] | None:
        """Rows, and the seconds that they took; None before there were any, and in the first second."""
        if not self._times or self._num_rows == self._rows_then[0]:
            return None
        half = (self._times[0] + self._now) / 2
        first = max(0, bisect_left(self._times, half) - 1)
        while self._num_rows == self._rows_then[first]:  # nothing but failures of videos since
            first -= 1
        seconds = self._now - self._times[first]
        return (self._num_rows - self._rows_then[first], seconds) if seconds >= MIN_SECONDS else None


def _lengths(videos: pa.Table, column: str) -> np.ndarray:
    return pc.call_function("list_value_length", [videos.column(column)]).to_numpy().astype(np.int32)
