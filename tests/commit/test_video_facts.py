"""What the log of videos learns of them: facts as clips are sealed, once, whoever seals; and columns of manifests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.commit.tombstones import set_tombstones
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.commit.video_log import (
    MAX_OBJECTS,
    VideoLog,
    add_to_video_log,
    change_video_log,
    read_video_log,
)
from framegate.pipelines.commit.video_rows import differ, join_rows, make_rows
from framegate.schemas.clip import ClipLook, Video, VideoFacts
from framegate.schemas.errors import StorageError
from framegate.schemas.keys import uri_digest
from framegate.schemas.start_time import WallClock
from framegate.schemas.tables import FACT_NAMES, VIDEO_STATES
from framegate.schemas.unit import AnsweredUnit

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = VideoFacts(
    duration_seconds=6.0, container="iso_bmff", codec="h264", fps=25.0, height=120, width=160, rotation=90,
    created_at=NOON - timedelta(days=1),
)  # fmt: skip


def log_row(video: Video, **values: Any) -> pa.Table:
    known = {"video_uri": video.uri, "video_id": video.video_id, "video_version": video.version, "size_bytes": 5}
    seen = {"state": "current", "first_seen": NOON, "since": NOON, "source": "videos/"}
    return make_rows(
        {
            name: pa.chunked_array([[value]]) if name.startswith("input_") else value
            for name, value in {**known, **seen, **values}.items()
        },
        1,
    )


def opened(unit: AnsweredUnit, facts: VideoFacts | None = FACTS) -> AnsweredUnit:
    look = ClipLook(thumbnail=b"jpeg", motion=0.0, darkness=0.0)
    return replace(unit, clips=tuple(replace(clip, look=look) for clip in unit.clips), facts=facts)


def known(output: Output) -> dict[str, dict[str, Any]]:
    return {row["video_uri"]: row for row in read_video_log(output).rows().to_pylist()}


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path))


@pytest.fixture
def clip_facts(facts: RunFacts) -> RunFacts:
    return replace(facts, clip_policy="c11b0000c11b0000", clock=WallClock(("taken",)))


def begin(output: Output, *videos: Video) -> None:
    add_to_video_log(output, join_rows(log_row(video) for video in videos), read_video_log(output))


def test_facts_come_with_the_first_seal_of_a_video_and_no_object_without_any(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    videos = [units.make_video(name, {"taken": NOON}) for name in ("a", "b", "never")]
    begin(output, *videos)
    for video in videos[:2]:
        commit_unit(output, opened(units.make_unit(video, range(2, 4), num_clips=4)), clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    rows = known(output)
    for name in ("a.mp4", "b.mp4"):
        assert {fact: rows[name][fact] for fact in FACT_NAMES} == {fact: getattr(FACTS, fact) for fact in FACT_NAMES}
        assert rows[name]["started_at"] == NOON, "that of the video, told by its third clip"
        assert (rows[name]["state"], rows[name]["since"]) == ("current", NOON)
    assert {rows["never.mp4"][fact] for fact in FACT_NAMES} == {None}
    objects = [info.uri for info in output.list("videos")]
    commit_unit(output, opened(units.make_unit(videos[0], range(2), num_clips=4)), clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    assert [info.uri for info in output.list("videos")] == objects


def test_a_log_that_no_run_has_begun_is_not_begun_by_a_seal(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    unit = opened(units.make_unit(units.make_video("a"), range(1), num_clips=1))
    commit_unit(output, unit, clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    assert list(output.list("videos")) == []


def test_a_sealer_that_dies_before_its_record_leaves_the_facts_to_the_next(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = units.make_video("a")
    begin(output, video)
    commit_unit(output, opened(units.make_unit(video, range(1), num_clips=1)), clip_facts, written_at=NOON)

    def refuse(*_: object) -> None:
        raise StorageError("it died here")

    with monkeypatch.context() as patched:
        patched.setattr("framegate.pipelines.commit.seal_writer.learn_facts", refuse)
        with pytest.raises(StorageError, match="it died here"):
            seal(output, clip_facts.config_id)
    assert SealLog(output, clip_facts.config_id).read_record(0) is None
    assert known(output)["a.mp4"]["container"] is None
    seal(output, clip_facts.config_id)
    assert known(output)["a.mp4"]["container"] == "iso_bmff"


def test_changes_that_were_made_of_an_older_log_keep_the_facts_of_the_newer(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    video = units.make_video("a")
    begin(output, video)
    old = read_video_log(output)
    gone = log_row(video, state="gone")
    commit_unit(output, opened(units.make_unit(video, range(1), num_clips=1)), clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    for log in (old, read_video_log(output)):
        add_to_video_log(output, gone, log)
        row = known(output)["a.mp4"]
        assert (row["state"], row["container"], row["rotation"]) == ("gone", "iso_bmff", 90)


def test_whoever_comes_second_asks_again(output: Output, units: SimpleNamespace) -> None:
    video = units.make_video("a")
    begin(output, video)
    asked = 0

    def change(log: VideoLog) -> pa.Table:
        nonlocal asked
        asked += 1
        if asked == 1:
            add_to_video_log(output, log_row(units.make_video("b")), read_video_log(output))
        return log_row(video, input_site="south", codec=f"asked {asked} with {len(log.ids)}", container="x")

    assert change_video_log(output, change) == 1
    assert {row["codec"] for row in known(output).values()} == {None, "asked 2 with 2"}


def test_a_video_that_was_erased_learns_nothing(output: Output, units: SimpleNamespace) -> None:
    video = units.make_video("a")
    begin(output, video)
    set_tombstones(output, [uri_digest(video.uri)], "erasure-1")
    assert change_video_log(output, lambda _: log_row(video, container="x")) == 0


def test_objects_of_earlier_versions_and_other_manifests_are_read_together(
    output: Output, units: SimpleNamespace
) -> None:
    old = [field.name for field in VIDEO_STATES][:8]
    assert old[-1] == "source"
    earlier = log_row(units.make_video("old")).select(old)
    folder = Path(output.root, "videos")
    folder.mkdir()
    pq.write_table(earlier, folder / "00000000.all.parquet")
    add_to_video_log(output, log_row(units.make_video("n"), input_floor=1, container="x"), read_video_log(output))
    add_to_video_log(output, log_row(units.make_video("t"), input_floor=1.5, input_site="s"), read_video_log(output))
    rows = known(output)
    assert {name: (row["input_floor"], row["input_site"], row["container"]) for name, row in rows.items()} == {
        "old.mp4": (None, None, None),
        "n.mp4": (1.0, None, "x"),
        "t.mp4": (1.5, "s", None),
    }
    assert read_video_log(output).has_facts.sum() == 1


def test_folding_keeps_facts_and_columns(output: Output, units: SimpleNamespace) -> None:
    for night in range(MAX_OBJECTS + 2):
        row = log_row(units.make_video(f"night{night}"), input_night=night, container="x" if night % 2 else None)
        add_to_video_log(output, row, read_video_log(output))
    assert sum(1 for _ in output.list("videos")) < MAX_OBJECTS // 2
    assert {name: (row["input_night"], row["container"]) for name, row in known(output).items()} == {
        f"night{night}.mp4": (night, "x" if night % 2 else None) for night in range(MAX_OBJECTS + 2)
    }


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, None, None], [1, 3, None, 4], [False, True, False, True]),
        (["a", None, "c"], ["a", "b", "d"], [False, True, True]),
        ([1, 2], [1.0, 2.5], [False, True]),
        ([[1], [2], None], [[1], [3], None], [False, True, False]),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 1}], [False, True]),
        (["1", "x"], [1, 2], [False, True]),
        ([None, "x"], [None, None], [False, True]),
        ([NOON, NOON], [NOON, NOON + timedelta(microseconds=1)], [False, True]),
        ([0.0, float("nan")], [0.0, 1.0], [False, True]),
    ],
)
def test_two_columns_differ_where_their_values_do(one: list[Any], other: list[Any], expected: list[bool]) -> None:
    found = differ(pa.chunked_array([pa.array(one)]), pa.chunked_array([pa.array(other)]))
    assert found.tolist() == expected
