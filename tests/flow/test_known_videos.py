"""The table of videos after runs and refreshes: what files say of themselves, and what their manifest says now."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.tombstones import read_tombstones
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.plan.refresh import refresh
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.views import query
from framegate.schemas.clock import now
from framegate.schemas.errors import ConfigError, InputError
from framegate.schemas.job import Job

CORRECTED = "canary-south-7"


@pytest.fixture
def write(archive: Path) -> Callable[..., str]:
    """Writes the manifest of video0, video1 and so on, a line each."""

    def write(head: str, *lines: str) -> str:
        rows = [f"{archive / f'video{number}.mp4'},{line}" for number, line in enumerate(lines)]
        path = archive / "manifest.csv"
        path.write_text("\n".join([f"uri,{head}", *rows]), encoding="utf-8")
        return str(path)

    return write


def run(job: Job) -> None:
    flow.run(job, engine_factory=ScriptedEngine, in_process=True)


def videos(job: Job) -> dict[str, dict[str, Any]]:
    rows = query(job.config.output.uri, {}, "SELECT * FROM videos").to_pylist()
    return {Path(row["video_uri"]).name: row for row in rows}


def objects(job: Job) -> list[str]:
    return [info.uri for info in Output.open(job.config.output).list("videos")]


def test_a_run_tells_of_each_video_what_its_file_says(make_job: Callable[..., Job], archive: Path) -> None:
    begun = now()
    job = make_job()
    run(job)
    rows = videos(job)
    assert set(rows) == {"video0.mp4", "video1.mp4", "video2.mp4", "broken.mp4", "empty.mp4"}
    for number, seconds in enumerate((6, 4, 2)):
        row = rows[f"video{number}.mp4"]
        assert row["duration_seconds"] == pytest.approx(seconds, abs=0.2)
        assert (row["container"], row["rotation"], row["is_gone"]) == ("iso_bmff", 0, False)
        assert min(row["height"], row["width"], row["fps"]) > 0
        assert row["video_size_bytes"] == (archive / f"video{number}.mp4").stat().st_size
        assert begun <= row["first_seen"] <= row["last_seen"] <= now()
    assert {rows[name]["codec"] for name in ("broken.mp4", "empty.mp4")} == {None}
    before = objects(job)
    first = rows["video0.mp4"]["last_seen"]
    run(job)
    assert objects(job) == before, "a night in which nothing changed adds nothing"
    assert videos(job)["video0.mp4"]["last_seen"] > first
    (archive / "video1.mp4").unlink()
    run(job)
    gone = videos(job)["video1.mp4"]
    assert (gone["is_gone"], gone["container"], gone["state"]) == (True, "iso_bmff", "gone")
    assert first < gone["last_seen"] < gone["gone_since"]


@pytest.mark.parametrize("is_refreshed", [True, False])
def test_a_corrected_manifest_is_in_videos_and_not_in_rows(
    make_job: Callable[..., Job], write: Callable[..., str], is_refreshed: bool
) -> None:
    def job(*lines: str, head: str = "site,taken") -> Job:
        return make_job(input={"videos": write(head, *lines), "started_at": "taken", "time_zone": "Europe/Berlin"})

    first = job("north,2026-11-21 03:00", "north,2026-11-21 04:00", "east,")
    run(first)
    before = objects(first)
    rows = videos(first)
    assert {row["input_site"] for row in rows.values()} == {"north", "east"}
    assert rows["video0.mp4"]["started_at"] == datetime(2026, 11, 21, 2, tzinfo=UTC)
    assert rows["video2.mp4"]["started_at"] is None

    again = job("north,2026-11-21 03:00", f"{CORRECTED},2026-11-21 05:00", "east,")
    if is_refreshed:
        done = refresh(again)
        assert (done.num_videos, done.num_corrected, done.num_new, done.num_gone) == (3, 1, 0, 0)
    else:
        run(again)
    assert len(objects(again)) == len(before) + 1
    corrected = videos(again)
    assert [corrected[f"video{n}.mp4"]["input_site"] for n in range(3)] == ["north", CORRECTED, "east"]
    assert corrected["video1.mp4"]["started_at"] == datetime(2026, 11, 21, 4, tzinfo=UTC)
    assert rows["video1.mp4"]["codec"] is not None
    assert corrected["video1.mp4"]["codec"] == rows["video1.mp4"]["codec"]
    unchanged = ("since", "first_seen", "state", "duration_seconds")
    assert [corrected["video1.mp4"][name] for name in unchanged] == [rows["video1.mp4"][name] for name in unchanged]
    answers = query(first.config.output.uri, {}, "SELECT DISTINCT input_site FROM answers ORDER BY ALL")
    assert answers.to_pylist() == [{"input_site": "east"}, {"input_site": "north"}]
    assert refresh(again).num_corrected == 0, "nothing is left to correct"
    assert len(objects(again)) == len(before) + 1


def test_a_refresh_takes_new_columns_and_keeps_those_that_went(
    make_job: Callable[..., Job], write: Callable[..., str]
) -> None:
    job = make_job(input={"videos": write("site", "north", "north", "east")})
    run(job)
    write("floor", "1", "2", "3")
    assert refresh(job).num_corrected == 3
    rows = videos(job)
    assert [(rows[f"video{n}.mp4"]["input_site"], rows[f"video{n}.mp4"]["input_floor"]) for n in range(3)] == [
        ("north", 1), ("north", 2), ("east", 3),
    ]  # fmt: skip
    write("site,floor", "north,", "north,2", "east,3")
    assert refresh(job).num_corrected == 1
    assert videos(job)["video0.mp4"]["input_floor"] is None
    write("floor", "first", "second", "third")
    with pytest.raises(InputError, match="has 'first' in row 1 of the column 'floor', which is integer in this output"):
        refresh(job)


def test_a_refresh_sees_what_came_and_went_and_the_next_run_asks(make_job: Callable[..., Job], archive: Path) -> None:
    job = make_job()
    run(job)
    (archive / "video2.mp4").rename(archive / "video9.mp4")
    os.utime(archive / "video1.mp4", (1, 1))
    done = refresh(job)
    assert (done.num_new, done.num_gone, done.num_superseded, done.num_corrected) == (2, 1, 1, 0)
    planned = flow.plan(job)
    assert {Path(uri).name for uri in planned.videos.column("video_uri").to_pylist()} == {"video1.mp4", "video9.mp4"}
    run(job)
    assert videos(job)["video9.mp4"]["codec"] is not None
    assert audit(Output.open(job.config.output)).is_clean


def test_side_files_of_a_shard_are_refreshed_too(make_job: Callable[..., Job], archive: Path, tmp_path: Path) -> None:
    import io
    import tarfile

    def write_shard(site: str) -> None:
        with tarfile.open(tmp_path / "shard.tar", "w") as shard:
            data = (archive / "video2.mp4").read_bytes()
            for name, content in (("a.mp4", data), ("a.json", json.dumps({"site": site}).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
        os.utime(tmp_path / "shard.tar", (1_790_000_000, 1_790_000_000))

    job = make_job(input={"videos": str(tmp_path / "shard.tar")})
    write_shard("north")
    run(job)
    assert [json.loads(row["input_json"]) for row in videos(job).values()] == [{"site": "north"}]
    write_shard("south")  # as large and as old as before: the shard counts as the same
    index = next((tmp_path / "index" / "indexes").glob("*.parquet"))
    index.unlink()
    assert refresh(job).num_corrected == 1
    assert [json.loads(row["input_json"]) for row in videos(job).values()] == [{"site": "south"}]


def test_an_output_without_a_run_has_nothing_to_refresh(make_job: Callable[..., Job]) -> None:
    with pytest.raises(ConfigError, match="knows of no videos yet: 'framegate run'"):
        refresh(make_job())


def test_a_refresh_does_not_bring_an_erased_video_back(
    make_job: Callable[..., Job], write: Callable[..., str], archive: Path, tmp_path: Path
) -> None:
    job = make_job(input={"videos": write("site", "north", CORRECTED, "east")})
    run(job)
    output = Output.open(job.config.output)
    erase(output, [str(archive / "video1.mp4")])
    assert read_tombstones(output)
    write("site", "west", f"{CORRECTED}-again", "west")
    done = refresh(job)
    assert (done.num_corrected, done.num_new) == (2, 0)
    assert set(videos(job)) == {"video0.mp4", "video2.mp4"}
    for path in (tmp_path / "index").rglob("*.parquet"):
        assert CORRECTED not in str(pq.read_table(path).to_pylist()), path
    assert audit(output).is_clean


def test_the_clock_of_a_file_is_the_fallback(make_job: Callable[..., Job], write: Callable[..., str]) -> None:
    """The films of this archive say nothing of when they were made."""
    manifest = write("taken", "2026-11-21 03:00", "", "")
    job = make_job(input={"videos": manifest, "started_at": ["taken", "file"]})
    run(job)
    rows = videos(job)
    assert [rows[f"video{n}.mp4"]["started_at"] for n in range(3)] == [
        datetime(2026, 11, 21, 3, tzinfo=UTC), None, None,
    ]  # fmt: skip
    times = query(
        job.config.output.uri,
        {},
        "SELECT DISTINCT clip_index, clip_ended_at FROM answers WHERE clip_ended_at IS NOT NULL",
    )
    assert {row["clip_index"]: row["clip_ended_at"] for row in times.to_pylist()} == {
        index: datetime(2026, 11, 21, 3, tzinfo=UTC) + timedelta(seconds=2 * index + 2) for index in range(3)
    }
