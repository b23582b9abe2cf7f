"""Tables say what they mean, and work survives its way between stages unchanged."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.schemas import errors, tables
from framegate.schemas.clip import Clip, ClipLook, FrameBatch, Video, VideoFacts
from framegate.schemas.unanswered import Failure
from framegate.schemas.unit import DecodedClip, DecodedUnit, PlannedVideo, to_table
from framegate.schemas.video_row import inputs_bytes, inputs_table

SCHEMAS = ("PLANNED", "DECODED", "RESULTS", "FAILURES", "CLIPS", "JOURNAL", "VIDEO_STATES")
REQUIRED_RESULTS = [
    "video_uri",
    "video_id",
    "clip_index",
    "start_seconds",
    "end_seconds",
    "question_id",
    "question_hash",
    "question",
    "answer_type",
    "answer",
    "answer_first",
    "answer_second",
    "confidence_first",
    "confidence_second",
    "thinking",
    "gate_reason",
    "threshold",
    "thinking_text",
    "span_start_seconds",
    "span_end_seconds",
    "num_prompt_tokens",
    "num_video_tokens",
    "num_answer_tokens",
    "num_thinking_tokens",
    "finish_reason",
    "status",
    "model",
    "config_id",
    "strategy",
    "engine",
    "decoder",
    "num_frames",
    "decode_seconds",
    "engine_seconds",
    "run_id",
    "written_at",
]
REQUIRED_FAILURES = [
    "video_uri",
    "video_id",
    "clip_index",
    "question_hash",
    "config_id",
    "stage",
    "reason",
    "message",
    "attempts",
]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_says_what_it_means(name: str) -> None:
    for field in getattr(tables, name):
        assert tables.meaning(field), field.name


def test_the_two_output_tables_have_the_promised_columns() -> None:
    for required, schema in ((REQUIRED_RESULTS, tables.RESULTS), (REQUIRED_FAILURES, tables.FAILURES)):
        assert set(required) <= set(tables.with_config_id(schema).names)
        assert "config_id" not in schema.names, "it stands in the path"


def test_the_journal_holds_every_column_of_all_tables_but_the_partition() -> None:
    told = {*tables.RESULTS.names, *tables.FAILURES.names, *tables.CLIPS.names}
    assert set(tables.JOURNAL.names) == {*told, *tables.FACT_NAMES, "row_kind"}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.floats(allow_nan=False),
        max_size=4,
    )
)
def test_manifest_columns_keep_their_names_values_and_types(inputs: dict[str, object]) -> None:
    table = inputs_table(inputs_bytes(inputs))
    assert (table.to_pylist()[0] if table is not None else {}) == inputs


def test_a_planned_video_survives_the_way_and_knows_what_is_missing() -> None:
    video = Video(uri="s3://b/v.mp4", version="etag", size_bytes=7, inputs={"camera": "north", "floor": 3})
    planned = PlannedVideo(
        video=video,
        question_hashes=("a", "b"),
        done=frozenset({(0, "a"), (0, "b"), (1, "b")}),
        attempts={(1, "a"): 2},
        undecoded_attempts=1,
    )
    [back] = PlannedVideo.from_table(to_table([planned], tables.PLANNED))
    assert back == planned
    assert [back.missing(index) for index in range(3)] == [(), ("a",), ("a", "b")]
    assert [back.attempts_at(index, ("a", "b")) for index in (1, 2)] == [(3, 1), (1, 1)]


def test_frames_of_several_clips_survive_the_way_without_a_copy() -> None:
    rng = np.random.default_rng(0)
    video = Video(uri="v.mp4", version="1", size_bytes=1)

    def make_clip(index: int, shape: tuple[int, int, int, int]) -> DecodedClip:
        frames = FrameBatch(
            frames_THWC=rng.integers(0, 256, shape, dtype=np.uint8),
            pts_seconds=np.arange(shape[0]) / 3 + index,
            duration_seconds=1.0,
        )
        clip = Clip(video_id=video.video_id, index=index, start_seconds=index, end_seconds=index + 1)
        look = ClipLook(thumbnail=b"\xff\xd8", motion=None, darkness=0.5) if index else None
        return DecodedClip(clip=clip, frames=frames, is_last=index == 1, decode_seconds=0.5, look=look)

    clips = (make_clip(0, (2, 4, 6, 3)), make_clip(1, (3, 5, 3, 3)))
    facts = VideoFacts(
        duration_seconds=2.0, container="matroska", codec="vp9", fps=None, height=4, width=6, rotation=90,
        created_at=datetime(2026, 11, 21, 3, 4, 5, 678901, tzinfo=UTC),
    )  # fmt: skip
    unit = DecodedUnit(video=video, question_hashes=("q",), attempts=(2,), decoder="pyav-1", clips=clips, facts=facts)
    failed = DecodedUnit(
        video=video,
        question_hashes=("q",),
        attempts=(),
        decoder="pyav-1",
        failure=Failure(stage="decode", reason="truncated", message="ends early"),
        failed_clip_index=2,
        failed_attempt=3,
    )
    table = to_table([unit, failed], tables.DECODED)
    back, back_failed = DecodedUnit.from_table(table)
    assert back_failed == failed
    assert back.facts == facts
    for ours, theirs in zip(clips, back.clips, strict=True):
        assert (ours.clip, ours.is_last, ours.look) == (theirs.clip, theirs.is_last, theirs.look)
        np.testing.assert_array_equal(ours.frames.frames_THWC, theirs.frames.frames_THWC)
        np.testing.assert_array_equal(ours.frames.pts_seconds, theirs.frames.pts_seconds)
        assert theirs.frames.frames_THWC.base is not None


def test_an_empty_table_of_work_keeps_its_schema() -> None:
    assert to_table([], tables.DECODED).schema == tables.DECODED
    assert isinstance(to_table([], tables.PLANNED), pa.Table)


def test_every_error_pickles_with_its_message_and_reason() -> None:
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Exception)]
    classes.remove(errors.RunStopped)  # no worker raises it
    assert len(classes) > 15
    for cls in classes:
        back = pickle.loads(pickle.dumps(cls("one sentence")))
        assert (type(back), str(back)) == (cls, "one sentence")
        assert getattr(cls, "reason", "storage") in errors.REASON_MEANINGS
