"""Runs over an archive as people have it: odd names, what cannot be read, signed URLs, its own output. Without Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.fixed import read_fixed
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.schemas.column_types import TIMESTAMP
from framegate.schemas.errors import ConfigError, InputError
from framegate.schemas.job import Job
from framegate.schemas.run import RunSummary
from tests.web_server import WebServer

JobMaker = Callable[..., Job]
NAMES = [
    "clip [abc123].mp4",
    "a{1,2}.mp4",
    "cam::1.mp4",
    "what?.mp4",
    "100%.mp4",
    "ü #+ b.mp4",
    "new\nline\x1b[31m.mp4",
]


def run(job: Job) -> RunSummary:
    summary = flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    assert summary.is_complete
    return summary


def rows(job: Job, table: str, columns: str) -> list[tuple[Any, ...]]:
    glob = f"{job.config.output.uri}/{table}/**/*.parquet"
    return duckdb.sql(
        f"SELECT DISTINCT {columns} FROM read_parquet('{glob}', union_by_name = true) ORDER BY ALL"
    ).fetchall()


@pytest.fixture
def odd(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A folder of films with odd names, and what else lies there."""
    folder = tmp_path / "odd"
    film = make_video(tmp_path / "film.mp4", seconds=2).read_bytes()
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(film)
    with open(bytes(folder) + b"/latin\xe9.mp4", "wb") as file:
        file.write(film)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "linked.mp4").write_bytes(film)
    (folder / "link").symlink_to(tmp_path / "other")
    (folder / "round").symlink_to(folder)
    return folder


def test_every_film_of_an_odd_folder_is_answered_and_the_rest_is_a_row(make_job: JobMaker, odd: Path) -> None:
    job = make_job(input={"videos": str(odd)}, output={"uri": str(odd / "index")})
    for night in range(3):  # the output lies below the input, and grows
        summary = run(job)
        assert (summary.num_videos_planned, summary.num_videos_skipped) == (len(NAMES) + 2, night and len(NAMES) + 2)
        assert any("this job's own output" in notice for notice in summary.notices)
    answered = {uri.removeprefix(f"{odd}/") for (uri,) in rows(job, "results", "video_uri")}
    assert answered == {*NAMES, "link/linked.mp4"}
    assert rows(job, "failures", "video_uri, reason") == [(str(odd / r"latin\xe9.mp4"), "not_unicode")]
    assert audit(Output.open(job.config.output)).is_clean


def test_the_same_names_in_a_list_and_in_a_manifest_are_the_same_videos(make_job: JobMaker, odd: Path) -> None:
    first = make_job(input={"videos": str(odd)})
    run(first)
    names = [str(odd / name) for name in NAMES]
    assert run(make_job(input={"videos": names})).num_videos_skipped == len(NAMES)
    manifest = odd.parent / "list [1].csv"
    manifest.write_text("\n".join(["uri", *(f'"{name}"' for name in names)]))
    assert run(make_job(input={"videos": str(manifest)})).num_videos_skipped == len(NAMES)


def test_what_cannot_be_looked_at_is_not_gone(make_job: JobMaker, odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (odd / "closed").mkdir()
    (odd / "closed" / "a.mp4").write_bytes((odd / NAMES[0]).read_bytes())
    job = make_job(input={"videos": str(odd)})
    run(job)
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    summary = run(job)
    assert not any("gone" in notice for notice in summary.notices)
    assert (str(odd / "closed/"), "storage") in [
        (uri.rstrip("/"), why) for uri, why in rows(job, "failures", "video_uri, reason")
    ]
    monkeypatch.setattr(os, "scandir", scandir)
    assert run(job).num_videos_skipped == len(NAMES) + 3


def test_signed_urls_are_answered_and_the_signature_is_stored_nowhere(
    make_job: JobMaker, odd: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = (odd / NAMES[0]).read_bytes()
    with WebServer({"/a b.mp4": film, "/c.mp4": film}) as server:
        names = [f"{server.root}/{name}" for name in ("a b.mp4", "c.mp4", "gone.mp4")]
        for night, signature in enumerate(("X-Amz-Signature=s3cret1", "X-Amz-Signature=s3cret2")):
            server.signature = signature
            lines = [f"{name}?{signature},https://nvr/?sig=s3cret3&cam=7" for name in names]
            (tmp_path / "list.csv").write_text("\n".join(["uri,source", *lines]))
            job = make_job(input={"videos": str(tmp_path / "list.csv"), "protocols": ["file", "http"]})
            assert run(job).num_videos_skipped == night * 3  # the same videos, however they are signed
        run(make_job(input={"videos": [f"{name}?{signature}" for name in names]}))
    assert rows(job, "results", "video_uri") == [(name,) for name in names[:2]]
    assert rows(job, "failures", "video_uri, reason") == [(names[2], "not_found")]
    assert {source for (source,) in rows(job, "results", "input_source") if source} == {"https://nvr/?cam=7"}
    for path in Path(job.config.output.uri).rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
        assert path.suffix != ".parquet" or "s3cret" not in str(pq.ParquetFile(path).read().to_pylist()), path
        assert "s3cret" not in str(path)
    assert "s3cret" not in caplog.text


def manifest(folder: Path, name: str, header: str, *cells: str) -> str:
    films = [str(folder / NAMES[n]) for n in range(len(cells))]
    lines = [f'"{film}",{cell}' for film, cell in zip(films, cells, strict=True)]
    (folder.parent / name).write_text("\n".join([f"uri,{header}", *lines]))
    return str(folder.parent / name)


def test_columns_keep_the_types_of_their_first_night(make_job: JobMaker, odd: Path) -> None:
    first = manifest(odd, "1.csv", "camera,floor,taken", "007,3,2026-11-21 03:00", "12E4567,4,2026-11-21T03:00Z")
    job = make_job(input={"videos": first})
    run(job)
    output = Output.open(job.config.output)
    fixed = read_fixed(output)
    assert fixed is not None
    assert {name: str(kind) for name, kind in fixed.columns.items()} == {
        "camera": "string", "floor": "int64", "taken": str(TIMESTAMP),
    }  # fmt: skip
    second = manifest(odd, "2.csv", "camera,floor,day", "8,x,2026-11-21", "9,5,2026-11-22", "10,6,2026-11-23")
    with pytest.raises(InputError, match="'x' in row 1 of the column 'floor', which is integer in this output"):
        flow.plan(make_job(input={"videos": second}))
    before = sorted(Path(output.root).rglob("*.parquet"))
    with pytest.raises(InputError, match="'x' in row 1"):
        run(make_job(input={"videos": second}))
    assert sorted(Path(output.root).rglob("*.parquet")) == before
    third = manifest(odd, "3.csv", "camera,day", "8,2026-11-21", "9,2026-11-22", "10,2026-11-23")
    run(make_job(input={"videos": third}))  # one column less, one more
    fixed = read_fixed(output)
    assert fixed is not None
    assert list(fixed.columns) == ["camera", "floor", "taken", "day"]
    assert [camera for (camera,) in rows(job, "results", "input_camera")] == ["007", "10", "12E4567"]


def test_an_output_of_an_older_version_keeps_the_types_of_its_files(make_job: JobMaker, odd: Path) -> None:
    first = manifest(odd, "1.csv", "camera,floor", "007,3", "12E4567,4")
    job = make_job(input={"videos": first})
    run(job)
    layout = Path(job.config.output.uri) / "layout.json"
    layout.write_text('{"partition_by": []}')  # as it was before it held columns
    with pytest.raises(InputError, match="'x' in row 1 of the column 'floor', which is integer in this output"):
        flow.plan(make_job(input={"videos": manifest(odd, "2.csv", "floor", "x")}))
    run(make_job(input={"videos": manifest(odd, "3.csv", "camera", "8")}))
    fixed = read_fixed(Output.open(job.config.output))
    assert fixed is not None
    assert {name: str(kind) for name, kind in fixed.columns.items()} == {"camera": "string", "floor": "int64"}


def test_a_declared_type_counts_from_the_first_night(make_job: JobMaker, odd: Path) -> None:
    first = manifest(odd, "1.csv", "camera,taken", "7,2026-11-21 03:00")
    columns = {"camera": "string", "taken": "timestamp", "later": "number"}
    job = make_job(input={"videos": first, "columns": columns, "time_zone": "Europe/Berlin"})
    summary = run(job)
    assert any("input.columns declares later, and the input has no such column" in line for line in summary.notices)
    assert rows(job, "results", "input_camera, epoch(input_taken)") == [("7", 1795226400.0)]
    with pytest.raises(ConfigError, match=r"'camera' is integer, but .* it is string since its first value"):
        flow.plan(make_job(input={"videos": first, "columns": {"camera": "integer"}}))


def test_dates_of_partitions_are_local_to_the_zone(make_job: JobMaker, odd: Path) -> None:
    times = ("2026-07-01 00:30", "2026-07-01T22:30:00Z", "2026-07-01T21:30:00Z")
    job = make_job(
        input={"videos": manifest(odd, "1.csv", "taken", *times), "time_zone": "Europe/Berlin"},
        output={"uri": str(odd.parent / "index"), "partition_by": ["taken.date"]},
    )
    run(job)
    folders = {path.name for path in Path(job.config.output.uri).glob("results/*/*")}
    assert folders == {"taken_date=2026-07-01", "taken_date=2026-07-02"}
    other = make_job(input={"videos": manifest(odd, "1.csv", "taken", *times)}, output=job.config.output.model_dump())
    with pytest.raises(ConfigError, match=r"input\.time_zone is UTC, but the partitions .* of Europe/Berlin"):
        flow.plan(other)
    wrong = manifest(odd, "2.csv", "taken", "2026-07-01 00:30", "01.07.2026")
    with pytest.raises(InputError, match=r"'01\.07\.2026' in row 2 of the column 'taken'"):
        flow.plan(
            make_job(input={"videos": wrong, "time_zone": "Europe/Berlin"}, output=job.config.output.model_dump())
        )
