"""What of the videos that were found is stored, and which failures count: one sorted array of 64-bit keys.

A key is (video, question, clip) packed into an int64 (`schemas.keys.Packing`): 8 bytes for each answer, and one sort. A
set of tuples would take 200 bytes each. A key is *covered* when it is answered, or failed and is not tried again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.plan.stored import Stored
from framegate.schemas.keys import Packing, positions_among
from framegate.schemas.retries import wait_after

CHUNK_ROWS = 1 << 20  # of a table that are looked at in one go: 8 MB for each step of the arithmetic
UNKNOWN = np.iinfo(np.int64).max  # of clips
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Which failures are tried again `now`: those whose reason and number of attempts allow it (`schemas.retries`),
    or, with `everything`, all of them."""

    now: datetime
    max_attempts: int
    everything: bool = False


class Coverage:
    """The state of each video in `packing`, as arrays.

    is_left             a key of it is not covered
    is_settled          all keys are covered, and some of them failed
    is_undecoded        of those: it gave no frames, or none from some clip on
    undecoded_attempts  how often it gave no frames
    breaks_off          the first clip without frames, where that is not tried again; UNKNOWN elsewhere
    """

    def __init__(self, packing: Packing, stored: Stored, is_due: np.ndarray) -> None:
        """`is_due`: which rows of `stored.failed` are tried again."""
        answered, failed, undecoded = stored.answered, stored.failed, stored.undecoded
        self._packing = packing
        num_videos, num_questions = len(packing.videos), len(packing.questions)
        rows = _Failures(packing, failed, is_due)
        num_clips, keys = np.full(num_videos, UNKNOWN), []
        for video, clip, question, is_last in _known_videos(packing, answered):
            np.minimum.at(num_clips, video[is_last], clip[is_last] + 1)
            asked = question >= 0
            keys.append(packing.keys(video[asked], question[asked], clip[asked]))
        ends = ~rows.is_whole & rows.is_last
        np.minimum.at(num_clips, rows.video[ends], rows.clip[ends] + 1)
        self.breaks_off = breaks_off = np.full(num_videos, UNKNOWN)
        gives_up = rows.is_whole & ~rows.is_due
        np.minimum.at(breaks_off, rows.video[gives_up], rows.clip[gives_up])
        required = np.minimum(num_clips, breaks_off)

        stays = rows.is_of_bank & ~rows.is_due
        covered = _once_each(np.concatenate([*keys, rows.keys(packing, stays)]))
        self._is_complete = _complete_pairs(packing, covered, required).reshape(num_videos, num_questions)
        self.is_left = np.logical_not(self._is_complete.all(axis=1))
        self.is_undecoded = np.less(breaks_off, num_clips) & ~self.is_left
        self.is_settled = self.is_undecoded.copy()
        self.is_settled[rows.video[stays & (rows.clip < required[rows.video])]] = True
        self.is_settled &= ~self.is_left
        self._keep_details(covered, rows)
        self.undecoded_attempts = _undecoded_attempts(packing, rows, undecoded)

    def _keep_details(self, covered: np.ndarray, rows: _Failures) -> None:
        """What a plan tells of single clips: of the questions that are missing somewhere in the video alone."""
        packing, is_missing = self._packing, ~self._is_complete.ravel()
        self._done = covered[is_missing[covered // packing.num_clips]]
        again = rows.is_of_bank & rows.is_due
        due, attempts = rows.keys(packing, again), rows.attempts[again]
        matters = is_missing[due // packing.num_clips] & ~np.isin(due, self._done)
        order = np.argsort(due[matters])
        self._due, self._attempts = due[matters][order], attempts[matters][order]

    def missing(self, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many questions are missing somewhere in each of `videos`, and which, one video after the other."""
        is_missing = ~self._is_complete[videos]
        return is_missing.sum(axis=1), np.nonzero(is_missing)[1]

    def done(self, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of those questions: how many keys are covered in each of `videos`, their clips and questions."""
        counts, places = self._of_videos(self._done, videos)
        _, question, clip = self._packing.unpack(self._done[places])
        return counts, clip, question

    def due(self, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of those questions: how many keys are tried again in each of `videos`, their clips, questions, attempts."""
        counts, places = self._of_videos(self._due, videos)
        _, question, clip = self._packing.unpack(self._due[places])
        return counts, clip, question, self._attempts[places]

    def _of_videos(self, keys: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        per_video = len(self._packing.questions) * self._packing.num_clips
        starts = np.searchsorted(keys, videos * per_video)
        counts = np.searchsorted(keys, (videos + 1) * per_video) - starts
        before = np.cumsum(counts) - counts
        return counts, np.repeat(starts - before, counts) + np.arange(counts.sum())


class _Failures:
    """Failures of videos that are known, as arrays.

    is_whole    of the video from `clip` on, whatever the question
    is_of_bank  of a clip, for one of the questions
    """

    def __init__(self, packing: Packing, failed: pa.Table, is_due: np.ndarray) -> None:
        video = positions_among(failed.column("video").to_numpy(), packing.videos)
        known = video >= 0
        question = positions_among(_filled(failed.column("question"), np.uint64), packing.questions)
        self.video = video[known]
        self.question = question[known]
        self.clip = _filled(failed.column("clip_index"), np.int64)[known]
        self.is_whole = failed.column("question").is_null().to_numpy()[known]
        self.is_last = failed.column("clip_is_last").to_numpy()[known]
        self.attempts = failed.column("attempts").to_numpy()[known]
        self.is_due = is_due[known]
        self.is_of_bank = ~self.is_whole & (self.question >= 0)

    def keys(self, packing: Packing, some: np.ndarray) -> np.ndarray:
        """Of some rows that are of the bank."""
        return packing.keys(self.video[some], self.question[some], self.clip[some])


def find_due(failed: pa.Table, retries: Retries | None) -> np.ndarray:
    """Which rows of FAILED_KEYS are tried again. Without `retries` none is."""
    if retries is None or retries.everything or failed.num_rows == 0:
        return np.full(failed.num_rows, retries is not None and retries.everything)
    reasons = failed.column("reason").combine_chunks().dictionary_encode()
    attempts = failed.column("attempts").to_numpy().astype(np.int64)
    cases, of_row = np.unique(reasons.indices.to_numpy().astype(np.int64) << 32 | attempts, return_inverse=True)
    names = reasons.dictionary.to_pylist()
    waits = [wait_after(names[case >> 32], case & (2**32 - 1)) for case in cases.tolist()]
    never = np.array([wait is None for wait in waits])
    wait_us = np.array([0 if wait is None else _microseconds(wait) for wait in waits], np.int64)
    failed_at = failed.column("failed_at").cast(pa.int64()).to_numpy()
    is_over = failed_at + wait_us[of_row] <= _microseconds(retries.now - _EPOCH)
    return ~never[of_row] & is_over & (attempts < retries.max_attempts)


def _known_videos(packing: Packing, answered: pa.Table) -> Iterator[tuple[np.ndarray, ...]]:
    """Of rows of ANSWERED_KEYS: positions of the video and the question (-1: not of the bank), clip, clip_is_last."""
    for batch in answered.to_batches(max_chunksize=CHUNK_ROWS):
        video = positions_among(batch.column("video").to_numpy(), packing.videos)
        known = video >= 0
        question = positions_among(batch.column("question").to_numpy(), packing.questions)
        clip = batch.column("clip_index").to_numpy().astype(np.int64)
        is_last = batch.column("clip_is_last").to_numpy(zero_copy_only=False)
        yield video[known], clip[known], question[known], is_last[known]


def _complete_pairs(packing: Packing, covered: np.ndarray, required: np.ndarray) -> np.ndarray:
    """For each (video, question): whether clips 0 to required - 1 are all among the keys, which are sorted."""
    num_questions = len(packing.questions)
    is_complete = np.repeat(required == 0, num_questions)
    pairs, _, clips = packing.unpack(covered)
    pairs = pairs[clips < required[pairs // max(num_questions, 1)]]
    starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]])) if len(pairs) else np.empty(0, np.int64)
    there = pairs[starts]
    counts = np.diff(np.append(starts, len(pairs)))
    is_complete[there[counts == required[there // max(num_questions, 1)]]] = True
    return is_complete


def _undecoded_attempts(packing: Packing, rows: _Failures, undecoded: pa.Table) -> np.ndarray:
    attempts = np.zeros(len(packing.videos), np.int32)
    np.maximum.at(attempts, rows.video[rows.is_whole], rows.attempts[rows.is_whole])
    video, before = undecoded.column("video").to_numpy(), undecoded.column("attempts").to_numpy()
    position = positions_among(video, packing.videos)
    np.maximum.at(attempts, position[position >= 0], before[position >= 0])
    return attempts


def _once_each(keys: np.ndarray) -> np.ndarray:
    keys.sort()
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys


def _filled(column: pa.ChunkedArray, kind: type) -> np.ndarray:
    return pc.fill_null(column, 0).to_numpy().astype(kind)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
