"""The table of clips: committed with the unit, sealed once for each clip, merged, audited, erased."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.fixed import fix
from framegate.pipelines.commit.growth import (
    MAX_DEAD_BYTES,
    Mark,
    encode_marked,
    first_to_merge,
    grow,
    merge_sorted,
)
from framegate.pipelines.commit.journal import commit_unit, read_receipt, unit_uri
from framegate.pipelines.commit.migrate import count_outdated
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config, record_plan
from framegate.pipelines.commit.seal import compact, migrate, seal
from framegate.pipelines.commit.sealed_parquet import CLIP_GROUP_ROWS, encode_sealed
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.erase.preview import count_by_video
from framegate.pipelines.erase.search import find_matches
from framegate.pipelines.erase.targets import Targets
from framegate.pipelines.store.append import measure
from framegate.schemas.clip import ClipLook, ClipSteps, VideoFacts
from framegate.schemas.tables import CLIPS, FAILURES, RESULTS
from framegate.schemas.unit import AnsweredUnit
from tests.run_records import put_run

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = VideoFacts(duration_seconds=6.0, container="iso_bmff", codec="h264", fps=25.0, height=120, width=160)


def picture(name: str, index: int) -> bytes:
    """No JPEG, but bytes that stand nowhere else: what an erasure must not leave. Of chance, as those of a JPEG are: a
    compressed file has them as they are."""
    return random.Random(f"picture of {name} {index}").randbytes(512)


def embedding(name: str, index: int) -> np.ndarray:
    """Any bytes of chance that are numbers."""
    values = np.frombuffer(random.Random(f"embedding of {name} {index}").randbytes(4096), np.float32)
    return values[np.isfinite(values)]


def looked_at(unit: AnsweredUnit) -> AnsweredUnit:
    name = unit.video.uri
    clips = [
        replace(
            clip,
            look=ClipLook(thumbnail=picture(name, clip.clip.index), motion=0.25, darkness=0.5),
            embedding=embedding(name, clip.clip.index),
            steps=ClipSteps(num_steps=15, num_steps_reused=4),
        )
        for clip in unit.clips
    ]
    return replace(unit, clips=tuple(clips), facts=FACTS)


@pytest.fixture
def clip_facts(facts: RunFacts) -> RunFacts:
    return replace(facts, clip_policy="c11b0000c11b0000")


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path))


def clip_rows(output: Output) -> list[dict[str, Any]]:
    files = [info.uri for info in output.list("clips")]
    rows = [{**row, "file": uri} for uri in files for row in pq.ParquetFile(uri).read().to_pylist()]
    return sorted(rows, key=lambda row: (row["video_uri"], row["clip_index"]))


def record(output: Output, facts: RunFacts, units: Sequence[AnsweredUnit]) -> None:
    """What a run leaves beside its rows, so that an audit finds nothing."""
    record_config(output, facts.config_id, {"model": facts.model})
    put_run(output, facts.run_id, config_id=facts.config_id, started_at="2026-11-21T12:00:00+00:00", num_videos=1)
    rows = {
        unit.video.video_id: {
            "video_id": unit.video.video_id,
            "video_uri": unit.video.uri,
            "video_version": unit.video.version,
            "question_hashes": list(unit.question_hashes),
            "config_id": facts.config_id,
        }
        for unit in units
    }
    record_plan(output, facts.run_id, pa.Table.from_pylist(list(rows.values())))


def test_a_unit_is_committed_with_its_clips_and_counts_as_before(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    bare = units.make_unit(units.make_video("v"), range(3), num_clips=3, failing=True)
    unit = looked_at(bare)
    receipt = commit_unit(output, unit, clip_facts, written_at=NOON)
    elsewhere = replace(clip_facts, run_id="run-2", config_id="d" * 16)
    assert replace(commit_unit(output, bare, elsewhere, written_at=NOON)) == receipt
    assert read_receipt(output, unit, clip_facts) == receipt
    uri = unit_uri(output.layout, unit, clip_facts.config_id)
    rows = parse_unit(uri, output.store.read(uri)).to_pylist()
    clips = [row for row in rows if row["row_kind"] == "clip"]
    assert [row["thumbnail"] for row in clips] == [picture("v.mp4", index) for index in range(3)]
    assert {(row["codec"], row["fps"], row["height"], row["question_hash"]) for row in clips} == {
        ("h264", 25.0, 120, None)
    }


def test_a_sealed_clip_has_the_columns_of_the_table(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    video = units.make_video("v", {"camera": "north"})
    commit_unit(output, looked_at(units.make_unit(video, range(3), num_clips=3)), clip_facts, written_at=NOON)
    sealed = seal(output, clip_facts.config_id)
    assert (sealed.num_answers, sealed.num_failures, sealed.num_duplicates, sealed.num_units) == (6, 0, 0, 1)
    rows = clip_rows(output)
    assert [row["clip_index"] for row in rows] == [0, 1, 2]
    assert rows[1] == {
        "video_uri": "v.mp4",
        "video_id": video.video_id,
        "clip_index": 1,
        "start_seconds": 2.0,
        "end_seconds": 4.0,
        "clip_is_last": False,
        "clip_started_at": None,
        "clip_ended_at": None,
        "clip_policy": "c11b0000c11b0000",
        "thumbnail": picture("v.mp4", 1),
        "motion": 0.25,
        "darkness": 0.5,
        "embedding": embedding("v.mp4", 1).tolist(),
        "num_steps": 15,
        "num_steps_reused": 4,
        "run_id": "run-1",
        "written_at": NOON,
        "input_camera": "north",
        "file": rows[1]["file"],
    }
    for table, schema in (("results", RESULTS), ("failures", FAILURES), ("clips", CLIPS)):
        for info in output.list(table):
            assert pq.read_schema(info.uri).names == [*schema.names, "input_camera"]


def test_a_clip_that_is_asked_again_is_kept_once(output: Output, units: SimpleNamespace, clip_facts: RunFacts) -> None:
    video = units.make_video("v")
    for number in range(3):  # a question more each night
        unit = looked_at(units.make_unit(video, range(3), num_clips=3, questions=units.QUESTIONS[number : number + 1]))
        commit_unit(output, unit, clip_facts, written_at=NOON)
        if number:
            seal(output, clip_facts.config_id)
    assert [row["clip_index"] for row in clip_rows(output)] == [0, 1, 2]
    again = looked_at(units.make_unit(video, range(3), num_clips=3, questions=units.QUESTIONS[2:], attempt=2))
    commit_unit(output, again, clip_facts, written_at=NOON)
    sealed = seal(output, clip_facts.config_id)
    assert (sealed.num_answers, sealed.num_duplicates) == (0, 3), "answers that are there twice count, clips do not"


def test_another_policy_is_another_clip(output: Output, units: SimpleNamespace, clip_facts: RunFacts) -> None:
    video = units.make_video("v")
    for number, policy in enumerate(("c11b0000c11b0000", "c11b0000c11b0001")):
        facts = replace(clip_facts, clip_policy=policy)
        unit = looked_at(units.make_unit(video, range(1), num_clips=1, questions=units.QUESTIONS[number : number + 1]))
        commit_unit(output, unit, facts, written_at=NOON)
        seal(output, facts.config_id)
    assert sorted(row["clip_policy"] for row in clip_rows(output)) == ["c11b0000c11b0000", "c11b0000c11b0001"]


def test_small_files_of_clips_are_merged_like_others(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    for name in ("b", "a", "c"):
        unit = looked_at(units.make_unit(units.make_video(name), range(2), num_clips=2))
        commit_unit(output, unit, clip_facts, written_at=NOON)
        seal(output, clip_facts.config_id, file_bytes=1)
    assert len({row["file"] for row in clip_rows(output)}) == 3
    compact(output, clip_facts.config_id)
    rows = clip_rows(output)
    assert len({row["file"] for row in rows}) == 1
    assert [(row["video_uri"], row["thumbnail"]) for row in rows] == [
        (f"{name}.mp4", picture(f"{name}.mp4", index)) for name in "abc" for index in range(2)
    ]


def test_a_file_of_clips_gets_columns_that_manifests_bring(
    output: Output, units: SimpleNamespace, clip_facts: RunFacts
) -> None:
    first = looked_at(units.make_unit(units.make_video("a"), range(1), num_clips=1))
    commit_unit(output, first, clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    second = looked_at(units.make_unit(units.make_video("b", {"camera": "north"}), range(1), num_clips=1))
    commit_unit(output, second, clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    migrate(output, clip_facts.config_id)
    assert count_outdated(output, clip_facts.config_id) == 0
    assert [row["input_camera"] for row in clip_rows(output)] == [None, "north"]


def test_row_groups_hold_no_more_than_some_megabytes_of_pictures() -> None:
    def rows(first: int, number: int) -> pa.Table:
        ids = [f"{n:016x}" for n in range(first, first + number)]
        values = {"video_id": ids, "video_uri": ids, "clip_policy": ["c" * 16] * number, "thumbnail": [b"x"] * number}
        constant = {"clip_index": 0, "start_seconds": 0.0, "end_seconds": 1.0, "clip_is_last": True, "run_id": "r"}
        columns = {name: [value] * number for name, value in constant.items()}
        filled = {**values, **columns, "written_at": [NOON] * number}
        return pa.table(
            [pa.array(filled.get(field.name, [None] * number), field.type) for field in CLIPS], schema=CLIPS
        )

    groups = list(merge_sorted("clips", [rows(0, CLIP_GROUP_ROWS + 1)]))
    assert [group.num_rows for group in groups] == [CLIP_GROUP_ROWS, 1]
    assert first_to_merge([CLIP_GROUP_ROWS, 1], 5, full_rows=CLIP_GROUP_ROWS) == 2
    assert first_to_merge([CLIP_GROUP_ROWS, 3, 3], 5, full_rows=CLIP_GROUP_ROWS) == 1
    old = encode_marked(groups, CLIPS, Mark(seal=0, num_new_rows=0))
    new = grow("clips", old, [rows(10_000, 2)], CLIPS, Mark(seal=1, num_new_rows=2), file_bytes=2**30)
    metadata = pq.read_metadata(pa.BufferReader(new))
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sizes[0] == CLIP_GROUP_ROWS
    assert max(sizes) <= CLIP_GROUP_ROWS
    assert sum(sizes) == CLIP_GROUP_ROWS + 3


def test_few_pictures_in_a_file_are_dead(output: Output, units: SimpleNamespace, clip_facts: RunFacts) -> None:
    """Small row groups are written again as they are merged, night after night."""
    chance, most = random.Random(7), 0
    for night in range(60):
        unit = units.make_unit(units.make_video(f"night{night}"), range(4), num_clips=4)
        clips = [
            replace(clip, look=ClipLook(thumbnail=chance.randbytes(5000), motion=None, darkness=0.0))
            for clip in unit.clips
        ]
        commit_unit(output, replace(unit, clips=tuple(clips)), clip_facts, written_at=NOON)
        seal(output, clip_facts.config_id)
        [info] = output.list("clips")
        size = measure(Path(info.uri).read_bytes())
        assert size.dead_bytes <= max(size.live_bytes // 4, MAX_DEAD_BYTES)
        most = max(most, size.dead_bytes)
    assert most > MAX_DEAD_BYTES // 2, "nothing was ever merged"
    assert len(clip_rows(output)) == 240


def files_with(folder: Path, name: str) -> set[Path]:
    """The files with bytes of a picture or an embedding of a video."""
    canaries = [picture(name, index)[:24] for index in range(3)]
    canaries += [embedding(name, index).tobytes()[:24] for index in range(3)]
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = {canary: {path for path, data in contents.items() if canary in data} for canary in canaries}
    assert len({bool(paths) for paths in found.values()}) == 1, "some of them are found, and others are not"
    return set().union(*found.values())


@pytest.mark.parametrize("partition_by", [(), ("camera",), ("written_at.date",)])
@pytest.mark.parametrize("is_sealed", [True, False])
def test_an_erasure_leaves_no_picture(
    output: Output,
    tmp_path: Path,
    units: SimpleNamespace,
    clip_facts: RunFacts,
    partition_by: tuple[str, ...],
    is_sealed: bool,
) -> None:
    """In no byte of any object, whether the clip lay in a file of several versions or in the journal."""
    made = []
    fix(output, partition_by, {"camera": pa.string()})
    for number, name in enumerate(("keep", "gone", "more")):
        video = units.make_video(name, {"camera": "north"})
        made.append(looked_at(units.make_unit(video, range(3), num_clips=3)))
        commit_unit(output, made[-1], clip_facts, written_at=NOON)
        if is_sealed or not number:
            seal(output, clip_facts.config_id, partition_by=partition_by)
    record(output, clip_facts, made)
    assert audit(output).is_clean
    [counted] = count_by_video(["gone.mp4"], find_matches(output, Targets.of(["gone.mp4"])))
    assert counted["clips"] == (3 if is_sealed else 0)

    receipt = erase(output, ["gone.mp4"])
    seal(output, clip_facts.config_id, partition_by=partition_by)
    assert receipt.rows[clip_facts.config_id].get("clips", 0) == (3 if is_sealed else 0)
    assert audit(output).is_clean
    assert files_with(tmp_path, "keep.mp4")
    assert files_with(tmp_path, "gone.mp4") == set()
    left = [row["thumbnail"] for row in clip_rows(output)]
    assert left == [picture(name, index) for name in ("keep.mp4", "more.mp4") for index in range(3)]
    assert all(row["video_uri"] != "gone.mp4" for row in clip_rows(output))


def test_an_audit_finds_a_clip_that_stands_twice(output: Output, units: SimpleNamespace, clip_facts: RunFacts) -> None:
    unit = looked_at(units.make_unit(units.make_video("v"), range(2), num_clips=2))
    commit_unit(output, unit, clip_facts, written_at=NOON)
    seal(output, clip_facts.config_id)
    record(output, clip_facts, [unit])
    report = audit(output)
    assert report.is_clean
    assert report["unique_clips"].num_checked == 2
    [info] = output.list("clips")
    rows = pq.ParquetFile(info.uri).read()
    Path(info.uri).write_bytes(encode_sealed([pa.concat_tables([rows, rows.slice(1)])], rows.schema))
    report = audit(output)
    [finding] = report["unique_clips"].findings
    assert "clip 1, clip policy c11b0000c11b0000" in finding
    assert "stands twice, in clips/" in finding
    assert report["sealed_files"].num_findings == 1
