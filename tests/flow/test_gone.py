"""Videos that went away: answered ones are history, others fail once; what comes back is asked. Without Ray."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from framegate.jobs.run import run_job
from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import read_video_log
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.views import query
from framegate.pipelines.store import Store, join
from framegate.schemas.job import Job
from framegate.schemas.run import RunSummary
from tests.flow.conftest import QUESTIONS

NEW_QUESTION = {"id": "late", "text": "Is it late?", "type": "yes_no"}
JobMaker = Callable[..., Job]


def run(job: Job, **options: Any) -> RunSummary:
    summary = flow.run(job, **{"engine_factory": ScriptedEngine, "in_process": True, **options})
    assert summary.is_complete
    return summary


def books(summary: RunSummary) -> tuple[int, int, int, int]:
    return (
        summary.num_videos_answered,
        summary.num_videos_failed,
        summary.num_videos_skipped,
        summary.num_videos_gone,
    )


def failures(job: Job) -> list[tuple[str, str, int]]:
    pattern = f"{job.config.output.uri}/failures/**/*.parquet"
    if not list(Path(job.config.output.uri).glob("failures/**/*.parquet")):
        return []
    rows = duckdb.sql(f"SELECT video_uri, reason, attempts FROM '{pattern}' ORDER BY ALL").fetchall()
    return [(uri.rpartition("/")[2], reason, attempts) for uri, reason, attempts in rows]


def each(names: Iterable[str], found: list[str]) -> dict[str, list[str]]:
    return dict.fromkeys(names, found)


def states(job: Job) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in read_video_log(Output.open(job.config.output)).rows().to_pylist():
        found.setdefault(row["video_uri"].rpartition("/")[2], []).append(row["state"])
    return {name: sorted(those) for name, those in found.items()}


@pytest.fixture
def manifest_job(make_job: JobMaker, archive: Path) -> Callable[..., Job]:
    """`manifest_job(names, ...)`: a job over a manifest that names these."""

    def make(names: Iterable[str], **parts: Any) -> Job:
        (archive / "list.csv").write_text("\n".join(["uri", *names]) + "\n")
        return make_job(input={"videos": str(archive / "list.csv")}, **parts)

    return make


FILMS = ("video0.mp4", "video1.mp4", "video2.mp4")


def test_answered_and_deleted_is_history(manifest_job: Callable[..., Job], archive: Path) -> None:
    assert books(run(manifest_job(FILMS))) == (3, 0, 0, 0)
    (archive / "video0.mp4").unlink()
    job = manifest_job(FILMS, failures={"stop_window": 1, "stop_share": 0.1})
    planned = flow.plan(job)
    assert (planned.num_videos, planned.num_skipped, planned.num_gone, planned.videos.num_rows) == (3, 3, 1, 0)
    assert planned.notices == ("1 of 3 videos are gone from storage since the last run; their answers stay",)
    assert states(job) == each(FILMS, ["current"])
    assert books(run(job)) == (0, 0, 3, 1)
    assert states(job) == {**each(FILMS, ["current"]), "video0.mp4": ["gone"]}
    assert failures(job) == []
    again = run(job)
    assert (books(again), again.notices) == ((0, 0, 3, 1), ())
    assert audit(Output.open(job.config.output)).is_clean


def test_deleted_with_questions_open_fails_once_whatever_the_breaker_allows(
    manifest_job: Callable[..., Job], archive: Path, make_video: Callable[..., Path]
) -> None:
    run(manifest_job(FILMS))
    kept = {name: (archive / name).read_bytes() for name in FILMS}
    times = {name: (archive / name).stat().st_mtime_ns for name in FILMS}
    for name in FILMS:
        (archive / name).unlink()
    options = {"questions": [*QUESTIONS, NEW_QUESTION], "failures": {"stop_window": 1, "stop_share": 0.1}}
    job = manifest_job(FILMS, **options)
    for expected in ((0, 3, 0, 0), (0, 0, 3, 3)):
        assert books(run(job)) == expected
    assert books(run(job, retry_failed=True)) == (0, 0, 3, 3)
    assert failures(job) == [(name, "source_gone", 1) for name in FILMS]

    for name in FILMS[:2]:
        (archive / name).write_bytes(kept[name])
        os.utime(archive / name, ns=(times[name], times[name]))
    summary = run(job)
    assert (books(summary), summary.counts.num_answers) == ((2, 0, 1, 1), 5)
    assert states(job) == {**each(FILMS[:2], ["current"]), "video2.mp4": ["gone"]}
    assert audit(Output.open(job.config.output)).is_clean


def test_a_prefix_that_lists_a_video_no_more_has_lost_it(make_job: JobMaker, archive: Path) -> None:
    job = make_job()
    run(job)
    (archive / "video0.mp4").unlink()
    elsewhere = make_job(input={"videos": str(archive / "video1.mp4")})
    assert run(elsewhere).notices == ()
    assert states(job)["video0.mp4"] == ["current"]  # that job is not about it
    narrow = make_job(input={"videos": str(archive / "*1.mp4")})
    run(narrow)
    assert states(job)["video0.mp4"] == ["current"]
    summary = run(job)
    assert (books(summary), len(summary.notices)) == ((0, 0, 4, 0), 1)
    assert states(job)["video0.mp4"] == ["gone"]
    # What came, what decoders found out of it, and what went: nights without a change add none.
    assert len(list(Store().list(join(job.config.output.uri, "videos")))) == 3


def test_a_video_that_was_never_seen_fails_once_and_is_asked_when_it_is_there(
    manifest_job: Callable[..., Job], archive: Path, make_video: Callable[..., Path]
) -> None:
    job = manifest_job(["typo.mp4", "later.mp4"], failures={"stop_window": 1, "stop_share": 0.1})
    assert books(run(job)) == (0, 2, 0, 0)
    assert books(run(job)) == (0, 0, 2, 0)
    assert failures(job) == [("later.mp4", "not_found", 1), ("typo.mp4", "not_found", 1)]
    make_video(archive / "later.mp4", seconds=2)
    assert books(run(job)) == (1, 0, 1, 0)
    assert states(job) == {"later.mp4": ["current"]}


def test_an_overwritten_video_supersedes_the_one_before(
    make_job: JobMaker, archive: Path, make_video: Callable[..., Path]
) -> None:
    job = make_job(input={"videos": str(archive / "video0.mp4")})
    run(job)
    make_video(archive / "video0.mp4", seconds=2, shade=99)
    assert run(job).notices == ()
    assert states(job) == {"video0.mp4": ["current", "superseded"]}


def test_a_name_that_a_manifest_drops_is_not_listed_and_a_sentence_says_so(manifest_job: Callable[..., Job]) -> None:
    run(manifest_job(FILMS))
    job = manifest_job(FILMS[:1])
    told = "the manifest no longer names 2 of 3 videos that were current; their answers stay. Is it whole?"
    assert flow.plan(job).notices == (told,)
    assert run(job).notices == (told,)
    assert states(job) == {"video0.mp4": ["current"], **each(FILMS[1:], ["not_listed"])}
    assert run(job).notices == ()
    job = manifest_job(FILMS)
    assert books(run(job)) == (0, 0, 3, 0)
    assert states(job) == each(FILMS, ["current"])


def test_a_video_that_is_deleted_between_plan_and_decoding_is_gone(
    make_job: JobMaker, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(failures={"stop_window": 1, "stop_share": 0.1})
    monkeypatch.setattr("framegate.pipelines.flow.read_deaths", lambda *args, **options: (delete(archive), {})[1])
    assert books(run(job)) == (1, 4, 0, 0)
    assert [row for row in failures(job) if row[1] == "source_gone"] == [
        ("video0.mp4", "source_gone", 1),
        ("video1.mp4", "source_gone", 1),
    ]
    monkeypatch.undo()
    assert books(run(job)) == (0, 0, 3, 0)
    assert states(job)["video0.mp4"] == ["gone"]


def delete(archive: Path) -> None:
    for name in FILMS[:2]:
        (archive / name).unlink()


def pack(path: Path, *films: Path) -> str:
    with tarfile.open(path, mode="w") as tar:
        for film in films:
            info = tarfile.TarInfo(film.name)
            info.size = film.stat().st_size
            tar.addfile(info, io.BytesIO(film.read_bytes()))
    return str(path)


def test_members_and_whole_shards_go_away_alike(make_job: JobMaker, archive: Path, tmp_path: Path) -> None:
    shard, other = (pack(tmp_path / f"{name}.tar", *(archive / film for film in FILMS[:2])) for name in "ab")
    named = make_job(input={"videos": [shard, f"{other}#video0.mp4"]})
    assert books(run(named)) == (3, 0, 0, 0)
    Path(other).unlink()
    assert books(run(named)) == (0, 0, 3, 1)
    Path(shard).unlink()
    summary = run(named)
    assert books(summary) == (0, 0, 3, 3)  # the shard was named as a whole: its two members are gone
    assert states(named) == {"a.tar#video0.mp4": ["gone"], "a.tar#video1.mp4": ["gone"], "b.tar#video0.mp4": ["gone"]}
    assert failures(named) == []
    more = make_job(input={"videos": [shard, f"{other}#video0.mp4"]}, questions=[*QUESTIONS, NEW_QUESTION])
    assert books(run(more)) == (0, 3, 0, 0)
    assert {row[1] for row in failures(more)} == {"source_gone"}


def test_a_member_that_a_new_shard_lacks_is_gone(make_job: JobMaker, archive: Path, tmp_path: Path) -> None:
    shard = pack(tmp_path / "a.tar", *(archive / film for film in FILMS[:2]))
    job = make_job(input={"videos": f"{shard}#video0.mp4"})
    both = make_job(input={"videos": shard})
    run(both)
    pack(tmp_path / "a.tar", archive / "video1.mp4")
    assert books(run(job)) == (0, 0, 1, 1)
    run(both)
    assert states(both) == {"a.tar#video0.mp4": ["gone"], "a.tar#video1.mp4": ["current", "superseded"]}


def test_an_output_from_before_the_log_knows_its_videos_by_its_plans(
    manifest_job: Callable[..., Job], archive: Path
) -> None:
    job = manifest_job(FILMS)
    run(job)
    for info in Store().list(join(job.config.output.uri, "videos")):
        Store().delete([info.uri])
    (archive / "video0.mp4").unlink()
    assert flow.plan(job).num_gone == 1
    assert books(run(job)) == (0, 0, 3, 1)
    assert states(job) == {**each(FILMS, ["current"]), "video0.mp4": ["gone"]}


def test_an_erased_video_leaves_the_log_and_does_not_come_back(manifest_job: Callable[..., Job], archive: Path) -> None:
    job = manifest_job(FILMS)
    run(job)
    erase(Output.open(job.config.output), [str(archive / "video0.mp4")])
    assert set(states(job)) == set(FILMS[1:])
    run(job)
    assert set(states(job)) == set(FILMS[1:])
    assert audit(Output.open(job.config.output)).is_clean
    for path in Path(job.config.output.uri).rglob("*"):
        assert path.is_dir() or b"video0.mp4" not in path.read_bytes(), path


def test_notices_are_printed_with_the_summary(
    manifest_job: Callable[..., Job],
    archive: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(manifest_job(FILMS))
    job = manifest_job(FILMS[:2])
    in_process = flow.run
    monkeypatch.setattr(flow, "run", lambda *args, **options: in_process(*args, **{**options, "in_process": True}))
    assert run_job(job, name="job.yaml", engine_factory=ScriptedEngine) == 0
    assert "note: the manifest no longer names 1 of 3 videos" in capsys.readouterr().out


def test_videos_are_a_view_and_tell_rows_of_gone_ones_apart(manifest_job: Callable[..., Job], archive: Path) -> None:
    job = manifest_job(FILMS)
    run(job)
    (archive / "video0.mp4").unlink()
    run(job)
    found = query(job.config.output.uri, {}, "SELECT * FROM videos ORDER BY video_uri").to_pylist()
    assert [(row["state"], row["num_answers"], row["num_failures"]) for row in found] == [
        ("gone", 6, 0),
        ("current", 4, 0),
        ("current", 2, 0),
    ]
    assert [row["gone_since"] == (row["since"] if row["state"] == "gone" else None) for row in found] == [True] * 3
    assert found[0]["first_seen"] < found[0]["gone_since"]
    joined = "SELECT v.state, count(*) AS n FROM answers JOIN videos AS v USING (video_id) GROUP BY 1 ORDER BY 1"
    assert query(job.config.output.uri, {}, joined).to_pylist() == [
        {"state": "current", "n": 6},
        {"state": "gone", "n": 6},
    ]
    comments = "SELECT comment FROM duckdb_columns() WHERE table_name = 'videos' AND column_name = 'state'"
    assert query(job.config.output.uri, {}, comments).to_pylist() == [
        {"comment": "current, superseded, gone or not_listed"}
    ]
    plan = query(job.config.output.uri, {}, "EXPLAIN SELECT state, count(*) FROM videos GROUP BY 1").to_pylist()
    assert "parquet" not in str(plan).lower()  # states alone read no answer
