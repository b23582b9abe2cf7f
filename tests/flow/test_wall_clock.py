"""When clips were, by the clock on the wall: from the manifest's times to the rows of results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from framegate.pipelines import flow
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.errors import ConfigError, InputError
from framegate.schemas.job import Job


def write_manifest(archive: Path, column: str, *values: str) -> str:
    lines = [f"{archive / f'video{number}.mp4'},{value}" for number, value in enumerate(values)]
    path = archive / "manifest.csv"
    path.write_text("\n".join([f"uri,{column}", *lines]), encoding="utf-8")
    return str(path)


def run(job: Job) -> list[dict[str, Any]]:
    flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    output = Output.open(job.config.output)
    rows = [row for info in output.list("results") for row in pq.ParquetFile(info.uri).read().to_pylist()]
    return sorted(rows, key=lambda row: (row["video_uri"], row["clip_index"], row["question_id"]))


def test_clips_have_the_times_of_the_manifest_in_the_zone_of_the_job(
    make_job: Callable[..., Job], archive: Path
) -> None:
    manifest = write_manifest(archive, "taken", "2026-11-21 03:00", "2026-11-21T03:00:00.5+05:30", "")
    rows = run(make_job(input={"videos": manifest, "started_at": "taken", "time_zone": "Europe/Berlin"}))
    starts = {
        "video0.mp4": datetime(2026, 11, 21, 2, tzinfo=UTC),
        "video1.mp4": datetime(2026, 11, 20, 21, 30, 0, 500_000, tzinfo=UTC),
    }
    assert len(rows) == 2 * (3 + 2 + 1)
    for row in rows:
        began = starts.get(Path(row["video_uri"]).name)
        times = [row[name] and timedelta(seconds=row[name]) for name in ("start_seconds", "end_seconds")]
        expected = [None if began is None else began + (after or timedelta()) for after in times]
        assert [row["clip_started_at"], row["clip_ended_at"]] == expected


def test_without_the_key_no_clip_has_a_time(make_job: Callable[..., Job], archive: Path) -> None:
    manifest = write_manifest(archive, "taken", "2026-11-21 03:00", "2026-11-21 03:00", "2026-11-21 03:00")
    rows = run(make_job(input={"videos": manifest}))
    assert {row["clip_started_at"] for row in rows} == {None}


def test_the_key_changes_no_config_id(make_job: Callable[..., Job], archive: Path) -> None:
    manifest = write_manifest(archive, "taken", "2026-11-21 03:00", "", "")
    planned = [flow.plan(make_job(input={"videos": manifest, "started_at": said})) for said in (None, "taken", "file")]
    assert len({plan.config_id for plan in planned}) == 1


@pytest.mark.parametrize(
    ("column", "value", "said", "error", "words"),
    [
        ("taken", "2026-11-21 03:00", "takn", ConfigError, "'takn' is no column of the manifest; did you mean 'taken'"),
        ("taken", "2026-11-21 03:00", ["file", "begun"], ConfigError, "'begun' is no column of the manifest"),
        ("taken", "2026-11-21", "taken", ConfigError, "'taken' is date, which does not say at what time"),
        ("taken", "noon", "taken", InputError, "has 'noon' in row 1 of the column 'taken'"),
        ("taken", "1700000000", "taken", InputError, "has '1700000000' in row 1 .* a time of ISO 8601"),
    ],
)
def test_what_says_no_time_is_refused_before_anything_runs(
    make_job: Callable[..., Job],
    archive: Path,
    tmp_path: Path,
    column: str,
    value: str,
    said: Any,
    error: type[Exception],
    words: str,
) -> None:
    job = make_job(input={"videos": write_manifest(archive, column, value), "started_at": said})
    with pytest.raises(error, match=words):
        flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    assert not list((tmp_path / "index").rglob("*.parquet"))


def test_a_folder_has_no_columns(make_job: Callable[..., Job], archive: Path) -> None:
    with pytest.raises(ConfigError, match="'taken' is no column of the manifest; it has none, and `file` stands for"):
        flow.plan(make_job(input={"videos": str(archive), "started_at": "taken"}))
