"""The plan of a deepening: the rows that were chosen, minus those that cannot go on, as work for each video.

Nothing in storage is changed. A row goes on where its video is there in the version that was asked about. Its question
need not stand in the bank any more: all that is asked stands in the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.output import Output
from framegate.pipelines.plan.columns import read_columns
from framegate.pipelines.plan.config_choice import ConfigChoice
from framegate.pipelines.plan.plan import own_place
from framegate.pipelines.source.find import find_input
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.source.input_columns import pack_inputs
from framegate.schemas.clock import now
from framegate.schemas.deepening import ANSWER_FIRST_TOKENS, WANTED
from framegate.schemas.job import Job
from framegate.schemas.keys import id_numbers, positions_among
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
    num_audited         rows that have thought already, for the audit sample, whose second answer comes to count
    """

    plan: Plan
    num_rows: int
    num_clips: int
    num_without_tokens: int
    by_question: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)
    num_audited: int = 0


def plan_deepening(
    job: Job,
    choice: ConfigChoice,
    indexes: ShardIndexCache,
    rows: pa.Table,
    *,
    limit: int | None,
    retry_failed: bool,
    arrange: Callable[[pa.Table], pa.Table] | None = None,
) -> Deepening:
    """`rows` in DEEPENABLE. At most `limit` videos, in the order of the input. `arrange` gives those of the rows that
    go on which are taken up now; then videos come in the order in which these name them.

    Raises FramegateError where the input cannot be found.
    """
    output = Output.open(job.config.output)
    columns = read_columns(job.config, output, choice.config_id)
    found = find_input(job.config.input, indexes, types=columns.types, own=own_place(output))
    columns.check(found)
    there = found.videos.filter(found.videos.column("refusal").is_null())
    questions = _questions(job, rows)
    why_not = _why_not(job, rows, questions, there, retry_failed=retry_failed)
    left_out = {reason: int((why_not == code).sum()) for code, reason in enumerate(LEFT_OUT, start=1)}
    going = rows.filter(pa.array(why_not == 0))
    num_going = going.num_rows
    if arrange is not None:
        going = arrange(going)
    places = _places(going, there)
    all_videos, firsts = np.unique(places, return_index=True)
    if arrange is not None:
        all_videos = places[np.sort(firsts)]
    chosen = all_videos[:limit]
    work = _in_order(going, places, chosen)
    plan = Plan(
        config_id=choice.config_id,
        num_videos=len(all_videos),
        num_skipped=0,
        num_erased=0,
        num_settled=0,
        videos=_planned(there.take(pa.array(chosen)), work),
        changes=VIDEO_STATES.empty_table(),
        questions=tuple(questions[hash] for hash in sorted(work.column("question_hash").unique().to_pylist())),
        columns={**columns.types.fixed, **found.columns},
        notices=(*describe_left_out(left_out), *_describe_beyond(num_going - going.num_rows)),
        num_ignored_members=indexes.count_ignored(),
    )
    counted = work.group_by("question_hash").aggregate([([], "count_all")]).to_pylist()
    return Deepening(
        plan=plan,
        num_rows=work.num_rows,
        num_clips=work.group_by(["video_id", "clip_index"]).aggregate([]).num_rows,
        num_without_tokens=work.column(ANSWER_FIRST_TOKENS.name).null_count,
        by_question={row["question_hash"]: row["count_all"] for row in counted},
        left_out={reason: number for reason, number in left_out.items() if number},
    )


def describe_left_out(left_out: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each reason why rows do not go on."""
    for reason, number in sorted(left_out.items()):
        if number:
            yield f"{number:,} rows {LEFT_OUT[reason]}; they stay as they are"


def _describe_beyond(num_rows: int) -> Iterator[str]:
    if num_rows:
        yield f"{num_rows:,} rows wait for another time: what there is to spend does not reach them, as thoughts went"


def _questions(job: Job, rows: pa.Table) -> dict[str, Question]:
    """By hash, those of the bank, and those that rows alone know: all that is asked stands in them. Thresholds are told
    beside: the one that a question has in the bank may not be what it is deepened to."""
    known = {question.hash: replace(question, threshold=None) for question in job.questions}
    hashes = rows.column("question_hash").combine_chunks().dictionary_encode()
    firsts = np.unique(hashes.indices.to_numpy(), return_index=True)[1]
    for row in rows.take(pa.array(firsts, pa.int64())).to_pylist():
        known.setdefault(row["question_hash"], _question_of(row))
    return known


def _question_of(row: Mapping[str, Any]) -> Question:
    return Question(
        id=row["question_id"],
        text=row["question"],
        type=row["answer_type"],
        options=tuple(row["question_options"] or ()),
        think="never" if row["gate_reason"] == "never" else "auto",
    )


def _why_not(
    job: Job, rows: pa.Table, questions: Mapping[str, Question], there: pa.Table, *, retry_failed: bool
) -> np.ndarray:
    """For each row 0 where it goes on, else the number of the reason, from 1, in order of LEFT_OUT."""
    never = pa.array([hash for hash, question in questions.items() if question.think == "never"], pa.string())
    is_never = pc.call_function("is_in", [rows.column("question_hash")], pc.SetLookupOptions(never)).to_numpy()
    is_failed = np.zeros(rows.num_rows, bool)
    if not retry_failed:
        failed, time = np.flatnonzero(rows.column("failed_reason").is_valid().to_numpy()), now()
        details = rows.select(["failed_reason", "num_failures", "failed_at"]).take(pa.array(failed)).to_pylist()
        is_failed[failed] = [not _is_due(row, job.config.failures.max_attempts, time) for row in details]
    is_gone = _places(rows, there) < 0
    return np.select([is_never, is_failed, is_gone], [1, 2, 3], 0)


def _is_due(row: Mapping[str, Any], max_attempts: int, time: datetime) -> bool:
    """As for what a run tries again: by the reason, how often it has failed, and how long ago."""
    wait = wait_after(row["failed_reason"], row["num_failures"])
    return wait is not None and row["num_failures"] < max_attempts and row["failed_at"] + wait <= time


def _places(rows: pa.Table, videos: pa.Table) -> np.ndarray:
    """For each row the place of its video; -1 where it is not among them."""
    return positions_among(id_numbers(rows.column("video_id")), id_numbers(videos.column("video_id")))


def _in_order(rows: pa.Table, places: np.ndarray, chosen: np.ndarray) -> pa.Table:
    """The rows of the chosen videos, by video in the order of these, by clip and question."""
    clips, hashes = rows.column("clip_index").to_numpy(), id_numbers(rows.column("question_hash"))
    ranks = np.full(1 + max(places, default=0), -1)
    ranks[chosen] = np.arange(len(chosen))
    ranks = ranks[places]
    order = np.lexsort([hashes, clips, ranks])
    return rows.take(pa.array(order[ranks[order] >= 0]))


def _planned(videos: pa.Table, rows: pa.Table) -> pa.Table:
    """`videos` (FOUND) in PLANNED, each with its rows, which come in the same order."""
    videos = videos.set_column(FOUND.get_field_index("inputs"), FOUND.field("inputs"), pack_inputs(videos))
    rows, num_videos = rows.combine_chunks(), videos.num_rows
    places = _places(rows, videos)
    nothing = np.zeros(num_videos, np.int64)
    more = {
        "question_hashes": _hashes(places, rows, num_videos),
        "done": _lists("done", nothing, None),
        "attempts": _lists("attempts", nothing, None),
        "undecoded_attempts": pa.array(nothing, pa.int32()),
        "breaks_off": pa.nulls(num_videos, pa.int32()),
        "wanted": _lists("wanted", np.bincount(places, minlength=num_videos), _wanted(rows)),
    }
    columns = [*(videos.column(name) for name in FOUND.names), *more.values()]
    return pa.Table.from_arrays(columns, schema=PLANNED).combine_chunks()


def _wanted(rows: pa.Table) -> pa.Array:
    """Rows of DEEPENABLE, without chunks, in WANTED."""
    attempts = rows.column("num_failures").to_numpy() + 1
    names = ("clip_index", "question_hash", ANSWER_FIRST_TOKENS.name, "answer_first", "confidence_first")
    columns = [_one_chunk(rows.column(name)) for name in names]
    audit_rank = _one_chunk(rows.column("audit_rank"))
    return pa.StructArray.from_arrays([*columns, pa.array(attempts, pa.int32()), audit_rank], fields=list(WANTED))


def _hashes(places: np.ndarray, rows: pa.Table, num_videos: int) -> pa.Array:
    """For each video its questions, each once."""
    words = _one_chunk(rows.column("question_hash")).dictionary_encode()
    pairs = np.unique(np.stack([places, words.indices.to_numpy()]), axis=1)
    hashes = words.dictionary.take(pa.array(pairs[1]))
    return _lists("question_hashes", np.bincount(pairs[0], minlength=num_videos), hashes)


def _lists(name: str, lengths: Sequence[int] | np.ndarray, values: pa.Array | None) -> pa.Array:
    data_type = PLANNED.field(name).type
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if values is None:
        values = pa.array([], data_type.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=data_type)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
