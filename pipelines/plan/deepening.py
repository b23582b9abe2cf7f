"""The plan of a deepening: the rows that were chosen, minus those that cannot go on, as work for each video.

Nothing in storage is changed. A row goes on where its video is there in the version that was asked about. Its question
need not stand in the bank any more: all that is asked stands in the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.pipelines.plan.columns import read_columns
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.plan import own_place
from framegate.pipelines.source.find import find_input
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.source.input_columns import pack_inputs
from framegate.schemas.clock import now
from framegate.schemas.deepening import ANSWER_FIRST_TOKENS
from framegate.schemas.job import Job
from framegate.schemas.qa import Question
from framegate.schemas.retries import wait_after
from framegate.schemas.run import Plan
from framegate.schemas.tables import FOUND, PLANNED, VIDEO_STATES

NEVER, FAILED, GONE = "never", "failed", "gone"
LEFT_OUT: Final[Mapping[str, str]] = {
    NEVER: "are of questions that are never thought about (think: never)",
    FAILED: "failed when they were deepened before, and are not tried again now (--retry-failed tries them)",
    GONE: "are of videos that the input does not name in the version that was asked about: gone, or changed",
}
"""Why a row that was chosen does not go on."""


@dataclass(frozen=True, kw_only=True)
class Deepening:
    """What a deepening would do.

    plan                the videos with their rows, as a run has them
    num_rows            that go on, of the videos in `plan`; of so many clips
    num_without_tokens  of these, rows of before tokens were kept, which are asked from the start
    by_question         of these, by question_hash
    left_out            by LEFT_OUT, rows that were chosen and do not go on
    """

    plan: Plan
    num_rows: int
    num_clips: int
    num_without_tokens: int
    by_question: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)


def plan_deepening(
    job: Job,
    choice: ConfigChoice,
    indexes: ShardIndexCache,
    rows: pa.Table,
    *,
    limit: int | None,
    retry_failed: bool,
) -> Deepening:
    """`rows` in DEEPENABLE, by video. At most `limit` videos. Raises FramegateError where the input cannot be found."""
    output = Output.open(job.config.output)
    columns = read_columns(job.config, output, choice.config_id)
    found = find_input(job.config.input, indexes, types=columns.types, own=own_place(output))
    columns.check(found)
    sorting = _Sorting(job, retry_failed=retry_failed)
    kept = sorting.keep(rows)
    there = found.videos.filter(found.videos.column("refusal").is_null())
    places = {video_id: place for place, video_id in enumerate(there.column("video_id").to_pylist())}
    of_video: dict[str, list[dict[str, Any]]] = {}
    for row in kept:
        if row["video_id"] in places:
            of_video.setdefault(row["video_id"], []).append(row)
        else:
            sorting.left_out[GONE] += 1
    chosen = sorted(of_video, key=places.__getitem__)[:limit]
    work = [row for video_id in chosen for row in of_video[video_id]]
    plan = Plan(
        config_id=choice.config_id,
        num_videos=len(of_video),
        num_skipped=0,
        num_erased=0,
        num_settled=0,
        videos=_planned(
            there.take(pa.array([places[id] for id in chosen], pa.int64())), [of_video[id] for id in chosen]
        ),
        changes=VIDEO_STATES.empty_table(),
        questions=tuple(sorting.questions[hash] for hash in sorted({row["question_hash"] for row in work})),
        columns={**columns.types.fixed, **found.columns},
        notices=tuple(describe_left_out(sorting.left_out)),
        num_ignored_members=indexes.count_ignored(),
    )
    return Deepening(
        plan=plan,
        num_rows=len(work),
        num_clips=len({(row["video_id"], row["clip_index"]) for row in work}),
        num_without_tokens=sum(row[ANSWER_FIRST_TOKENS.name] is None for row in work),
        by_question=Counter(row["question_hash"] for row in work),
        left_out=dict(sorting.left_out),
    )


def describe_left_out(left_out: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each reason why rows do not go on."""
    for reason, number in sorted(left_out.items()):
        yield f"{number:,} rows {LEFT_OUT[reason]}; they stay as they are"


class _Sorting:
    """Tells rows that go on from others. `questions`: by hash, those of the bank, and those that rows alone know."""

    def __init__(self, job: Job, *, retry_failed: bool) -> None:
        self.questions = {question.hash: question for question in job.questions}
        self.left_out: Counter[str] = Counter()
        self._max_attempts = job.config.failures.max_attempts
        self._retry_failed = retry_failed
        self._now = now()

    def keep(self, rows: pa.Table) -> Iterator[dict[str, Any]]:
        for batch in rows.to_batches():
            for row in batch.to_pylist():
                if (reason := self._why_not(row)) is None:
                    yield row
                else:
                    self.left_out[reason] += 1

    def _why_not(self, row: Mapping[str, Any]) -> str | None:
        known = self.questions.get(row["question_hash"])
        if known is None:
            self.questions[row["question_hash"]] = known = _question_of(row)
        if known.think == "never":
            return NEVER
        is_due = self._retry_failed or _is_due(row, self._max_attempts, self._now)
        return None if is_due else FAILED


def _question_of(row: Mapping[str, Any]) -> Question:
    return Question(
        id=row["question_id"],
        text=row["question"],
        type=row["answer_type"],
        options=tuple(row["question_options"] or ()),
        think="never" if row["gate_reason"] == "never" else "auto",
    )


def _is_due(row: Mapping[str, Any], max_attempts: int, time: datetime) -> bool:
    """As for what a run tries again: by the reason, how often it has failed, and how long ago."""
    if row["failed_reason"] is None:
        return True
    wait = wait_after(row["failed_reason"], row["num_failures"])
    return wait is not None and row["num_failures"] < max_attempts and row["failed_at"] + wait <= time


def _planned(videos: pa.Table, rows: Iterable[list[dict[str, Any]]]) -> pa.Table:
    """`videos` (FOUND) in PLANNED, each with its rows."""
    videos = videos.set_column(FOUND.get_field_index("inputs"), FOUND.field("inputs"), pack_inputs(videos))
    wanted = [[_wanted(row) for row in of_video] for of_video in rows]
    hashes = [list(dict.fromkeys(one["question_hash"] for one in of_video)) for of_video in wanted]
    empty: list[list[Any]] = [[] for _ in wanted]
    more = {
        "question_hashes": hashes,
        "done": empty,
        "attempts": empty,
        "undecoded_attempts": np.zeros(len(wanted), np.int32),
        "breaks_off": [None] * len(wanted),
        "wanted": wanted,
    }
    columns = [
        *(videos.column(name) for name in FOUND.names),
        *(pa.array(values, PLANNED.field(name).type) for name, values in more.items()),
    ]
    return pa.Table.from_arrays(columns, schema=PLANNED).combine_chunks()


def _wanted(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "clip_index": row["clip_index"],
        "question_hash": row["question_hash"],
        "token_ids": row[ANSWER_FIRST_TOKENS.name],
        "answer_first": row["answer_first"],
        "confidence": row["confidence_first"],
        "attempt": row["num_failures"] + 1,
    }
