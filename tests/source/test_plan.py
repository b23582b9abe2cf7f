"""Planning: exactly what is missing is left to do, whatever is stored already."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.source.plan import plan_videos
from schemas.clip import Video
from schemas.qa import Question

A = Question(id="a", text="a?")
B = Question(id="b", text="b?")
VIDEO = Video(uri="v.mp4", version="1", size_bytes=1)
OTHER = Video(uri="w.mp4", version="1", size_bytes=1)

Row = tuple[str, int | None, str | None, bool]


def make_done(rows: Iterable[Row]) -> pa.Table:
    names = ("video_id", "clip_index", "question_hash", "clip_is_last")
    schema = pa.schema(list(zip(names, (pa.string(), pa.int32(), pa.string(), pa.bool_()), strict=True)))
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


def clips(video: Video, question: Question | None, *indexes: int, last: int) -> list[Row]:
    return [(video.video_id, n, question.hash if question else None, n == last) for n in indexes]


def test_all_is_left_of_a_new_video() -> None:
    [planned] = plan_videos([VIDEO], [A, B], make_done([]))
    assert planned.question_hashes == (A.hash, B.hash)
    assert planned.missing(0) == (A.hash, B.hash)


def test_nothing_is_left_of_a_complete_video() -> None:
    done = make_done(clips(VIDEO, A, 0, 1, 2, last=2) + clips(VIDEO, B, 0, 1, 2, last=2))
    assert plan_videos([VIDEO], [A, B], done) == []


def test_a_new_question_is_asked_alone() -> None:
    [planned] = plan_videos(
        [VIDEO, OTHER], [A, B], make_done(clips(VIDEO, A, 0, 1, last=1) + clips(OTHER, None, 0, last=0))
    )
    assert planned.video == VIDEO
    assert planned.question_hashes == (B.hash,)


def test_a_gap_is_filled_and_nothing_else() -> None:
    done = make_done(clips(VIDEO, A, 0, 2, 3, last=3))
    [planned] = plan_videos([VIDEO], [A], done)
    assert [planned.missing(n) for n in range(4)] == [(), (A.hash,), (), ()]


def test_a_video_whose_end_is_not_stored_is_not_complete() -> None:
    [planned] = plan_videos([VIDEO], [A], make_done(clips(VIDEO, A, 0, 1, last=9)))
    assert planned.missing(1) == ()
    assert planned.missing(2) == (A.hash,)


def test_a_video_that_could_not_be_decoded_is_done_for_questions_of_later_runs_too() -> None:
    whole = make_done([(VIDEO.video_id, None, None, True)])
    assert plan_videos([VIDEO], [A, B], whole) == []


def test_a_video_that_broke_off_is_complete_up_to_there() -> None:
    done = make_done([*clips(VIDEO, A, 0, 1, last=9), (VIDEO.video_id, 2, None, True)])
    [planned] = plan_videos([VIDEO], [A, B], done)
    assert planned.question_hashes == (B.hash,)
    assert planned.missing(0) == (B.hash,)
    assert planned.missing(2) == ()


def test_rows_of_other_videos_and_questions_do_not_count() -> None:
    stranger = Question(id="x", text="x?")
    done = make_done(clips(OTHER, A, 0, last=0) + clips(VIDEO, stranger, 0, last=0))
    assert [planned.video for planned in plan_videos([VIDEO], [A], done)] == [VIDEO]


@settings(max_examples=30)
@given(st.integers(1, 6), st.sets(st.tuples(st.integers(0, 5), st.sampled_from([A, B]))))
def test_a_video_is_left_exactly_while_a_clip_misses_a_question(num_clips: int, stored: set) -> None:
    stored = {(index, question) for index, question in stored if index < num_clips}
    rows = [row for index, question in stored for row in clips(VIDEO, question, index, last=num_clips - 1)]
    planned = plan_videos([VIDEO], [A, B], make_done(rows))
    open_keys = {(n, q.hash) for n in range(num_clips) for q in (A, B)} - {(n, q.hash) for n, q in stored}
    asked = {(n, hash) for work in planned for n in range(num_clips) for hash in work.missing(n)}
    assert asked == open_keys
