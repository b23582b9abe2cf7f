"""What a plan must be, said in sets and loops: slow, and easy to hold against the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from framegate.schemas.clip import Video
from framegate.schemas.retries import wait_after
from framegate.schemas.unit import PlannedVideo


class Answered(NamedTuple):
    video_id: str
    clip: int
    question: str
    is_last: bool


class Failed(NamedTuple):
    """`question` is None where the video gives no frames from `clip` on (None: at all)."""

    video_id: str
    clip: int | None
    question: str | None
    is_last: bool
    reason: str
    attempts: int
    failed_at: datetime


@dataclass(frozen=True)
class Expected:
    planned: list[PlannedVideo]
    num_complete: int
    num_settled: int
    num_undecoded: int
    num_gone: int


def expected_plan(
    videos: Sequence[Video],
    bank: Sequence[str],
    answered: Sequence[Answered],
    failed: Sequence[Failed],
    *,
    now: datetime,
    max_attempts: int,
    retry_failed: bool,
) -> Expected:
    gone = {video.video_id for video in videos if video.refusal and video.refusal.reason == "source_gone"}

    def is_due(failure: Failed) -> bool:
        if failure.reason == "source_gone":
            return failure.video_id not in gone
        wait = wait_after(failure.reason, failure.attempts)
        return retry_failed or (
            wait is not None and failure.failed_at + wait <= now and failure.attempts < max_attempts
        )

    planned, num_settled, num_undecoded, num_gone = [], 0, 0, 0
    for video in videos:
        answers = [row for row in answered if row.video_id == video.video_id]
        of_clips = [row for row in failed if row.video_id == video.video_id and row.question is not None]
        whole = [row for row in failed if row.video_id == video.video_id and row.question is None]
        ends = [row.clip + 1 for row in [*answers, *of_clips] if row.is_last and row.clip is not None]
        breaks_off = [row.clip or 0 for row in whole if not is_due(row)]
        is_known = bool(ends or breaks_off)
        required = range(min([*ends, *breaks_off], default=0))
        stored = {(row.clip, row.question) for row in answers}
        settled = {(row.clip, row.question) for row in of_clips if not is_due(row)}
        missing = [
            hash for hash in bank if not is_known or any((clip, hash) not in stored | settled for clip in required)
        ]
        if missing:
            done = {(clip, hash) for clip, hash in stored | settled if hash in missing}
            planned.append(
                PlannedVideo(
                    video=video,
                    question_hashes=tuple(missing),
                    done=frozenset(done),
                    attempts={
                        (row.clip, row.question): row.attempts
                        for row in of_clips
                        if is_due(row) and row.question in missing and (row.clip, row.question) not in done
                    },
                    undecoded_attempts=max((row.attempts for row in whole), default=0),
                    breaks_off=min(breaks_off, default=None),
                )
            )
        elif video.video_id in gone:
            num_gone += 1
        elif breaks_off and min(breaks_off) < min(ends, default=10**9):
            num_undecoded += 1
            num_settled += 1
        elif any(row.clip in required and row.question in bank for row in of_clips if not is_due(row)):
            num_settled += 1
    num_complete = len(videos) - len(planned) - num_settled - num_gone
    return Expected(planned, num_complete, num_settled, num_undecoded, num_gone)
