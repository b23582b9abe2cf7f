"""Planning: exactly what is missing is left to do, whatever is stored already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.plan import coverage as coverage_module
from framegate.pipelines.plan import remaining as remaining_module
from framegate.pipelines.plan.coverage import Retries
from framegate.pipelines.plan.remaining import Remaining, remaining
from framegate.pipelines.plan.stored import Stored
from framegate.pipelines.source.found import FoundRows
from framegate.schemas.clip import Member, Refusal, Video
from framegate.schemas.errors import FramegateError
from framegate.schemas.keys import id_number, uri_digest
from framegate.schemas.qa import Question
from framegate.schemas.read_back import ANSWERED_KEYS, FAILED_KEYS
from framegate.schemas.retries import RETRY_AFTER
from framegate.schemas.tables import PLANNED
from framegate.schemas.unit import PlannedVideo
from tests.plan.plan_oracle import Answered, Failed, expected_plan

A, B, STRANGER = (Question(id=name, text=f"{name}?") for name in ("a", "b", "x"))
VIDEO, OTHER, THIRD = (Video(uri=f"{name}.mp4", version="1", size_bytes=1) for name in "vwx")
NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
RETRIES = Retries(now=NOW, max_attempts=3)
NONE_UNDECODED = pa.table({"video": pa.array([], pa.uint64()), "attempts": pa.array([], pa.int32())})


def to_found(videos: Iterable[Video]) -> pa.Table:
    rows = FoundRows()
    for order, video in enumerate(videos):
        rows.add(order, video.uri, video.version, video.size_bytes, member=video.member, refusal=video.refusal)
    return rows.table()


def to_answered(rows: Iterable[Answered]) -> pa.Table:
    columns = [(id_number(row.video_id), row.clip, id_number(row.question), row.is_last) for row in rows]
    return pa.table(list(zip(*columns, strict=True)) or [[]] * 4, schema=ANSWERED_KEYS)


def to_failed(rows: Iterable[Failed]) -> pa.Table:
    columns = [
        (id_number(row.video_id), row.clip, None if row.question is None else id_number(row.question), *row[3:])
        for row in rows
    ]
    return pa.table(list(zip(*columns, strict=True)) or [[]] * 7, schema=FAILED_KEYS)


def plan(
    videos: Sequence[Video],
    questions: Sequence[Question],
    answered: Sequence[Answered] = (),
    failed: Sequence[Failed] = (),
    *,
    undecoded: pa.Table = NONE_UNDECODED,
    erased: frozenset[str] = frozenset(),
    retries: Retries | None = RETRIES,
) -> Remaining:
    stored = Stored(answered=to_answered(answered), failed=to_failed(failed), undecoded=undecoded)
    hashes = [question.hash for question in questions]
    return remaining(to_found(videos), hashes, stored, retries=retries, erased=erased)


def works(planned: Remaining) -> list[PlannedVideo]:
    table = planned.videos()
    assert table.schema.equals(PLANNED, check_metadata=True)
    table.validate(full=True)
    assert planned.num_left == table.num_rows
    return list(PlannedVideo.from_table(table))


def clips(video: Video, question: Question, *indexes: int, last: int) -> list[Answered]:
    return [Answered(video.video_id, index, question.hash, index == last) for index in indexes]


def failure(
    video: Video,
    clip: int | None,
    question: Question | None,
    *,
    reason: str = "storage",
    attempts: int = 1,
    ago: timedelta = timedelta(days=1),
    last: bool = False,
) -> Failed:
    return Failed(video.video_id, clip, question and question.hash, last, reason, attempts, NOW - ago)


def test_all_is_left_of_a_new_video() -> None:
    [work] = works(plan([VIDEO], [A, B]))
    assert work == PlannedVideo(video=VIDEO, question_hashes=(A.hash, B.hash))


def test_nothing_is_left_of_a_complete_video() -> None:
    planned = plan([VIDEO], [A, B], clips(VIDEO, A, 0, 1, 2, last=2) + clips(VIDEO, B, 0, 1, 2, last=2))
    assert works(planned) == []
    assert (planned.num_found, planned.num_complete, planned.num_settled, planned.num_erased) == (1, 1, 0, 0)


def test_a_new_question_is_asked_alone() -> None:
    [work] = works(plan([VIDEO], [A, B], clips(VIDEO, A, 0, 1, last=1)))
    assert work == PlannedVideo(video=VIDEO, question_hashes=(B.hash,))


def test_a_gap_is_filled_and_nothing_else() -> None:
    [work] = works(plan([VIDEO], [A], clips(VIDEO, A, 0, 2, 3, last=3)))
    assert [work.missing(n) for n in range(4)] == [(), (A.hash,), (), ()]


def test_a_video_whose_end_is_not_stored_is_not_complete() -> None:
    [work] = works(plan([VIDEO], [A], clips(VIDEO, A, 0, 1, last=9)))
    assert work.missing(1) == ()
    assert work.missing(2) == (A.hash,)


def test_where_a_video_ends_is_known_from_any_question() -> None:
    rows = clips(VIDEO, A, 0, 1, last=9) + clips(VIDEO, STRANGER, 1, last=1)
    assert works(plan([VIDEO], [A], rows)) == []


def test_a_video_that_could_not_be_decoded_is_settled_for_questions_of_later_runs_too() -> None:
    planned = plan([VIDEO], [A, B], [], [failure(VIDEO, None, None, reason="not_video")])
    assert works(planned) == []
    assert (planned.num_complete, planned.num_settled) == (0, 1)


def test_a_video_that_broke_off_is_asked_up_to_there() -> None:
    rows, broken = clips(VIDEO, A, 0, 1, last=9), [failure(VIDEO, 2, None, reason="truncated")]
    assert works(plan([VIDEO], [A], rows, broken)) == []
    [work] = works(plan([VIDEO], [A, B], rows, broken))
    assert work.question_hashes == (B.hash,)
    assert [work.missing(n) for n in range(2)] == [(B.hash,), (B.hash,)]
    assert (work.breaks_off, work.undecoded_attempts) == (2, 1)


def test_a_failure_of_the_world_is_tried_again_when_its_time_has_come() -> None:
    wait = RETRY_AFTER["storage"]
    assert wait is not None
    rows = clips(VIDEO, A, 1, last=1)
    for attempts, ago, is_due in ((1, wait, True), (1, wait / 2, False), (2, wait, False), (2, 2 * wait, True)):
        failed = [failure(VIDEO, 0, A, attempts=attempts, ago=ago)]
        planned = plan([VIDEO], [A], rows, failed)
        assert [work.attempts for work in works(planned)] == ([{(0, A.hash): attempts}] if is_due else [])
        assert planned.num_settled == (not is_due)


def test_a_video_is_given_up_after_so_many_attempts_until_a_person_says_otherwise() -> None:
    failed = [failure(VIDEO, None, None, attempts=3), failure(OTHER, 0, A, reason="decode_error", last=True)]
    assert works(plan([VIDEO, OTHER], [A], [], failed)) == []
    assert [
        work.video for work in works(plan([VIDEO, OTHER], [A], [], failed, retries=replace(RETRIES, max_attempts=4)))
    ] == [VIDEO]
    first, second = works(plan([VIDEO, OTHER], [A], [], failed, retries=replace(RETRIES, everything=True)))
    assert (first.undecoded_attempts, first.attempts) == (3, {})
    assert (second.undecoded_attempts, second.attempts) == (0, {(0, A.hash): 1})


def test_the_next_failure_of_a_video_gets_a_number_that_none_had_before() -> None:
    before = pa.table({"video": pa.array([id_number(VIDEO.video_id)], pa.uint64()), "attempts": [2]})
    [work, other] = works(plan([VIDEO, OTHER], [A], undecoded=before))
    assert (work.undecoded_attempts, other.undecoded_attempts) == (2, 0)


def test_what_failed_is_not_left_where_nothing_is_tried_again() -> None:
    rows = clips(VIDEO, A, 1, last=1)
    failed = [failure(VIDEO, 0, A), failure(OTHER, None, None)]
    planned = plan([VIDEO, OTHER, THIRD], [A], rows, failed, retries=None)
    assert [work.video for work in works(planned)] == [THIRD]
    assert (planned.num_complete, planned.num_settled, planned.num_undecoded) == (0, 2, 1)


def test_a_failure_behind_the_last_clip_leaves_a_video_complete() -> None:
    planned = plan([VIDEO], [A], clips(VIDEO, A, 0, 1, last=1), [failure(VIDEO, 2, None)], retries=None)
    assert (planned.num_complete, planned.num_settled, planned.num_undecoded) == (1, 0, 0)


def gone(video: Video) -> Video:
    return replace(video, refusal=Refusal(reason="source_gone", message="It was deleted."))


def test_answered_and_gone_is_history_and_no_work() -> None:
    planned = plan([gone(VIDEO), OTHER], [A], clips(VIDEO, A, 0, last=0) + clips(OTHER, A, 0, last=0))
    assert works(planned) == []
    assert (planned.num_complete, planned.num_settled, planned.num_gone) == (1, 0, 1)


def test_gone_with_questions_open_fails_once_and_is_asked_when_it_is_back() -> None:
    rows = clips(VIDEO, A, 0, last=0)
    [work] = works(plan([gone(VIDEO)], [A, B], rows))
    assert (work.video, work.question_hashes) == (gone(VIDEO), (B.hash,))
    failed = [failure(VIDEO, None, None, reason="source_gone", ago=timedelta(0))]
    for retries in (RETRIES, replace(RETRIES, everything=True)):
        settled = plan([gone(VIDEO)], [A, B], rows, failed, retries=retries)
        assert (works(settled), settled.num_gone, settled.num_settled) == ([], 1, 0)
    [back] = works(plan([VIDEO], [A, B], rows, failed))
    assert (back.question_hashes, back.undecoded_attempts) == ((B.hash,), 1)


def test_in_the_books_of_a_run_what_went_away_has_failed() -> None:
    failed = [failure(VIDEO, None, None, reason="source_gone")]
    planned = plan([gone(VIDEO)], [A], [], failed, retries=None)
    assert (planned.num_undecoded, planned.num_gone) == (1, 0)


def test_an_erased_video_stays_out() -> None:
    planned = plan([VIDEO, OTHER], [A], erased=frozenset({uri_digest(VIDEO.uri), uri_digest("elsewhere.mp4")}))
    assert [work.video for work in works(planned)] == [OTHER]
    assert (planned.num_found, planned.num_complete, planned.num_erased) == (2, 0, 1)


def test_the_rows_of_a_plan_say_all_that_was_found() -> None:
    member = replace(VIDEO, uri="s.tar#a.mp4", member=Member(name="a.mp4", offset_bytes=512))
    refused = replace(VIDEO, uri="t.tar", refusal=Refusal(reason="empty", message="The shard is empty."))
    assert [work.video for work in works(plan([member, refused], [A]))] == [member, refused]


def test_what_cannot_be_numbered_is_refused_in_one_sentence() -> None:
    with pytest.raises(FramegateError, match="clips from -1 to 0 cannot be planned together"):
        plan([VIDEO], [A], [Answered(VIDEO.video_id, -1, A.hash, False)])


REASONS = st.sampled_from(["storage", "decode_error", "memory_limit", "unknown_reason", "source_gone"])
CLIPS = st.integers(0, 4)
VIDEOS = st.sampled_from([video.video_id for video in (VIDEO, OTHER, THIRD, replace(VIDEO, uri="gone.mp4"))])
HASHES = st.sampled_from([A.hash, B.hash, STRANGER.hash])
TIMES = st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(minutes=90), timedelta(days=9)]).map(
    lambda ago: NOW - ago
)
ATTEMPTS = st.integers(1, 4)
ANSWERS = st.lists(st.builds(Answered, VIDEOS, CLIPS, HASHES, st.booleans()), max_size=40)
OF_CLIPS = st.builds(Failed, VIDEOS, CLIPS, HASHES, st.booleans(), REASONS, ATTEMPTS, TIMES)
WHOLE = st.builds(Failed, VIDEOS, st.none() | CLIPS, st.none(), st.just(True), REASONS, ATTEMPTS, TIMES)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([VIDEO, OTHER, THIRD, gone(VIDEO), gone(OTHER)]), unique_by=lambda video: video.uri),
    st.sampled_from([[A], [A, B], [B, A]]),
    ANSWERS,
    st.lists(OF_CLIPS | OF_CLIPS | WHOLE, max_size=12),
    st.integers(1, 4),
    st.booleans(),
)
def test_a_plan_is_what_the_rules_say(
    videos: list[Video],
    bank: list[Question],
    answered: list[Answered],
    failures: list[Failed],
    max_attempts: int,
    retry_failed: bool,
) -> None:
    stored = {row[:3] for row in answered}
    failed = [row for row in {row[:3]: row for row in failures}.values() if row[:3] not in stored]
    videos.sort(key=lambda video: video.uri)
    options = {"now": NOW, "max_attempts": max_attempts, "retry_failed": retry_failed}
    retries = Retries(now=NOW, max_attempts=max_attempts, everything=retry_failed)
    expected = expected_plan(videos, [question.hash for question in bank], answered, failed, **options)
    with pytest.MonkeyPatch.context() as small:  # so that batches end in the middle, too
        small.setattr(coverage_module, "CHUNK_ROWS", 3)
        small.setattr(remaining_module, "BATCH_ROWS", 2)
        planned = plan(videos, bank, answered, failed, retries=retries)
        assert works(planned) == expected.planned
        assert planned.videos(1).equals(planned.videos().slice(0, 1))
    assert (planned.num_complete, planned.num_settled) == (expected.num_complete, expected.num_settled)
    assert (planned.num_undecoded, planned.num_gone) == (expected.num_undecoded, expected.num_gone)
    assert planned.num_found == len(videos)
