"""Failures that stand: held against the rule, said in sets and loops."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.plan.stored import has_answer, is_overtaken, last_of_each_key, num_undecoded
from framegate.schemas.read_back import ANSWERED_KEYS, FAILED_KEYS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIMED = pa.schema([("video", pa.uint64()), ("clip_index", pa.int32()), ("written_at", pa.timestamp("us", tz="UTC"))])


class Row(NamedTuple):
    video: int
    clip_index: int | None
    question: int | None
    clip_is_last: bool
    reason: str
    attempts: int
    failed_at: datetime


NUMBERS, CLIPS = st.sampled_from([0, 1, 2**64 - 1]), st.integers(0, 3)
TIMES = st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours))
OF_CLIPS = st.builds(Row, NUMBERS, CLIPS, NUMBERS, st.booleans(), st.just("storage"), st.integers(1, 3), TIMES)
WHOLE = st.builds(
    Row, NUMBERS, st.none() | CLIPS, st.none(), st.just(True), st.just("storage"), st.integers(1, 3), TIMES
)


def to_table(rows: Iterable[tuple], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


@settings(max_examples=200)
@given(
    st.lists(OF_CLIPS | WHOLE, max_size=20, unique_by=lambda row: (*row[:3], row.attempts)),
    st.lists(st.tuples(NUMBERS, CLIPS, NUMBERS, TIMES), max_size=20),
)
def test_what_stands_is_what_the_rule_says(failed: list[Row], answers: list[tuple[int, int, int, datetime]]) -> None:
    latest: dict[tuple, Row] = {}
    for row in sorted(failed, key=lambda row: row.attempts):
        latest[row[:3]] = row
    of_clip = {row for row in latest.values() if row.question is not None}
    whole = {row for row in latest.values() if row.question is None}
    kept = {row for row in of_clip if row[:3] not in {answer[:3] for answer in answers}}
    kept |= {
        row
        for row in whole
        if not any(
            video == row.video and clip >= (row.clip_index or 0) and written_at > row.failed_at
            for video, clip, _, written_at in answers
        )
    }

    last = last_of_each_key(to_table(failed, FAILED_KEYS))
    assert {Row(**row) for row in last.to_pylist()} == of_clip | whole
    keys = to_table([(video, clip, question, False) for video, clip, question, _ in answers], ANSWERED_KEYS)
    times = to_table([(video, clip, at) for video, clip, _, at in answers], TIMED)
    some = last.filter(pc.field("question").is_valid())
    others = last.filter(pc.field("question").is_null())
    found = some.filter(pa.array(~has_answer(some, keys))).to_pylist()
    found += others.filter(pa.array(~is_overtaken(others, [times.slice(0, 3), times.slice(3)]))).to_pylist()
    assert {Row(**row) for row in found} == kept
    counted = {row["video"]: row["attempts"] for row in num_undecoded(to_table(failed, FAILED_KEYS)).to_pylist()}
    assert counted == {
        video: max(row.attempts for row in failed if row.question is None and row.video == video)
        for video in {row.video for row in failed if row.question is None}
    }
