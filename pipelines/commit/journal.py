"""The journal: one object per unit and set of questions, created once.

A unit is committed when its object exists, and not before. The object is built and read back in memory, then created
whole, so that no reader meets half of it. The first writer wins.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.deepened_rows import DEEPENED_KIND
from framegate.pipelines.commit.layout import UNIT_ENDING, Layout
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import read_unit, set_aside_damaged
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.pipelines.failpoints import reach
from framegate.schemas.counts import Counts
from framegate.schemas.errors import DamagedUnit, ObjectNotFound
from framegate.schemas.gate_reason import DEFERRED
from framegate.schemas.qa import Answer
from framegate.schemas.unit import AnsweredUnit, DecodedUnit

MAX_SAMPLES: Final = 3  # of a unit
SAMPLE_CHARACTERS: Final = 120

_RECEIPT_COLUMNS = (
    "row_kind", "clip_index", "question_hash", "decode_seconds", "status", "thinking",
    "num_answer_tokens", "num_thinking_tokens", "engine_seconds", "gate_reason", "stage", "reason",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Receipt(Counts):
    """What one commit did: the counts of one unit.

    created          False where another run had committed the unit before: its rows stay, and ours are dropped
    undecoded        the video, or the rest of it, gave no frames
    video_clips      how many clips the video is expected to have; None where it gave no frames
    has_last         the unit has the video's last clip: `video_clips` is exact, whatever the container says
    failure_reason   the reason code that most of the unit's rows failed for; None where most came back
    unparsed_samples   of answers that could not be read, some as a person would want to see them: one short line each
    """

    video_id: str
    created: bool
    undecoded: bool
    failure_reason: str | None
    video_clips: float | None = None
    has_last: bool = False
    unparsed_samples: tuple[str, ...] = field(default=(), compare=False)


def unit_uri(layout: Layout, unit: DecodedUnit | AnsweredUnit, config_id: str) -> str:
    """Where a unit is committed, the same before and after the engine and for every run that does the same work."""
    folder = "journal" if unit.wanted is None else "deepened"
    if unit.failure is not None:
        return layout.undecoded(
            config_id,
            unit.video.video_id,
            clip_index=unit.failed_clip_index,
            attempt=unit.failed_attempt,
            folder=folder,
        )
    return layout.unit(
        config_id,
        unit.video.video_id,
        clip_indexes=[each.clip.index for each in unit.clips],
        questions=zip(unit.question_hashes, unit.attempts, strict=True),
        folder=folder,
    )


def unit_name(output: Output, unit: DecodedUnit | AnsweredUnit, config_id: str) -> str:
    """A name for the unit among those of its video: that of its object, without the ending."""
    return unit_uri(output.layout, unit, config_id).rpartition("/")[2].removesuffix(UNIT_ENDING)


def commit_unit(output: Output, unit: AnsweredUnit, facts: RunFacts, *, written_at: datetime) -> Receipt:
    """Writes one answered unit; the receipt is of what is stored. Raises StorageError, FramegateError."""
    table = journal_table(unit, facts, written_at=written_at)
    reach("commit.before" if unit.wanted is None else "deepen.committing")
    put = output.store.put_once(unit_uri(output.layout, unit, facts.config_id), encode_unit(table))
    reach("commit.after" if unit.wanted is None else "deepen.committed")
    # The bytes hold the run and the time: where the same ones are there, our request succeeded and its reply was lost.
    if not put.is_ours:
        known = _read_or_replace(output, unit, facts, table)
        if known is not None:
            return known
    receipt = receipt_of(table, unit, created=put.is_ours)
    return replace(receipt, unparsed_samples=_unparsed_samples(unit)) if receipt.num_unparsed else receipt


def _read_or_replace(output: Output, unit: AnsweredUnit, facts: RunFacts, table: pa.Table) -> Receipt | None:
    """The receipt of the unit that has the name, if it is one; else it is set aside, and the rows take its place."""
    try:
        return read_receipt(output, unit, facts)
    except DamagedUnit:
        uri = unit_uri(output.layout, unit, facts.config_id)
        set_aside_damaged(output, (uri,))
        if output.store.put_once(uri, encode_unit(table)).is_ours:
            return receipt_of(table, unit, created=True)
        return read_receipt(output, unit, facts)


def commit_deepened(output: Output, config_id: str, rows: pa.Table) -> None:
    """Writes rows of one video (`commit.deepened_rows`), for which nothing was asked. The same ones are written once.

    Raises StorageError.
    """
    keys = rows.select(["clip_index", "question_hash"]).to_pylist()
    uri = output.layout.unit(
        config_id,
        rows.column("video_id")[0].as_py(),
        clip_indexes=[key["clip_index"] for key in keys],
        questions=[(f"{key['clip_index']} {key['question_hash']}", 0) for key in keys],
        folder="deepened",
    )
    reach("deepen.committing")
    output.store.put_once(uri, encode_unit(rows))
    reach("deepen.committed")


def _unparsed_samples(unit: AnsweredUnit) -> tuple[str, ...]:
    answers = (answer for clip in unit.clips for answer in clip.answers if answer.status == "unparsed")
    return tuple(_sample(answer) for answer in islice(answers, MAX_SAMPLES))


def _sample(answer: Answer) -> str:
    written = answer.unparsed_text
    if written is None:
        written = answer.answer_second or answer.answer_first or ""
    one_line = " ".join(written.split())
    shown = one_line if len(one_line) <= SAMPLE_CHARACTERS else one_line[: SAMPLE_CHARACTERS - 3] + "..."
    return f'"{shown}" to {answer.question.id} ({answer.question.type})'


def read_receipt(output: Output, unit: DecodedUnit | AnsweredUnit, facts: RunFacts) -> Receipt | None:
    """The receipt of a unit that is in the journal already, by this run or another, or None. Raises DamagedUnit."""
    uri = unit_uri(output.layout, unit, facts.config_id)
    try:
        table = read_unit(uri, output.store.read(uri))
    except ObjectNotFound:
        return None
    return receipt_of(table, unit, created=table.column("run_id")[0].as_py() == facts.run_id)


def receipt_of(table: pa.Table, unit: DecodedUnit | AnsweredUnit, *, created: bool) -> Receipt:
    """The receipt of one unit, from its rows in the JOURNAL schema."""
    rows = table.select(_RECEIPT_COLUMNS).to_pylist()
    answers = [row for row in rows if row["row_kind"] == "answer"]
    deepened = [row for row in rows if row["row_kind"] == DEEPENED_KIND]
    failures = [row for row in rows if row["row_kind"] == "failure"]
    clips = {row["clip_index"]: row["decode_seconds"] or 0.0 for row in rows if row["question_hash"] is not None}
    last = next((clip.clip.index for clip in unit.clips if clip.is_last), None)
    reasons = Counter(row["reason"] for row in failures)
    worst, num_worst = reasons.most_common(1)[0] if reasons else (None, 0)
    return Receipt(
        video_id=unit.video.video_id,
        video_clips=unit.video_clips if last is None else last + 1.0,
        has_last=last is not None,
        created=created,
        num_clips=len(clips),
        num_answers=len(answers),
        num_unparsed=sum(row["status"] == "unparsed" for row in answers),
        num_failures=len(failures),
        num_thinking=sum(row["thinking"] for row in answers),
        num_answer_tokens=sum(row["num_answer_tokens"] for row in answers),
        num_thinking_tokens=sum(row["num_thinking_tokens"] for row in answers),
        num_deferred=sum(row["gate_reason"] == DEFERRED for row in answers),
        num_deepened=len(deepened),
        num_deepened_tokens=sum(row["num_thinking_tokens"] for row in deepened),
        engine_seconds=sum(row["engine_seconds"] for row in (*answers, *deepened)),
        decode_seconds=sum(clips.values()),
        undecoded=any(row["stage"] == "decode" for row in failures),
        failure_reason=worst if 2 * num_worst > len(answers) + len(deepened) + len(failures) else None,
    )
