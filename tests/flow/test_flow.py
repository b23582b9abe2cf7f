"""The flow, end to end with an engine without weights: every row once, no work twice, whatever happens on the way."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from framegate.pipelines import flow
from framegate.pipelines.certify.of_output import Request, calibrate_output, store
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.store import Store, join
from framegate.schemas.audit_sample import AuditSample, clip_key
from framegate.schemas.errors import ConfigError, EngineError, FramegateError, StorageError
from framegate.schemas.job import Job
from framegate.schemas.run import Progress

pytestmark = pytest.mark.usefixtures("ray_cluster")
NEW_QUESTION = {"id": "late", "text": "Is it late?", "type": "yes_no"}


def rows(job: Job, table: str = "results") -> list[dict[str, Any]]:
    """What SQL sees, without what differs from run to run."""
    found = duckdb.sql(f"SELECT * FROM '{job.config.output.uri}/{table}/**/*.parquet'").to_arrow_table()
    measured = {"run_id", "written_at", "question_since", "decode_seconds", "engine_seconds"}
    kept = found.select([name for name in found.column_names if name not in measured]).to_pylist()
    return sorted(({name: str(value) for name, value in row.items()} for row in kept), key=str)


def snapshot(job: Job, table: str = "results") -> dict[str, bytes]:
    root = Path(job.config.output.uri)
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / table).rglob("*.parquet")}


def test_every_question_of_every_clip_is_a_row_and_every_broken_file_a_failure(
    make_job: Callable[..., Job], archive: Path
) -> None:
    job, seen = make_job(), list[Progress]()
    summary = flow.run(job, engine_factory=ScriptedEngine, on_progress=seen.append)
    assert (summary.num_videos_planned, summary.num_videos_answered, summary.num_videos_failed) == (5, 3, 2)
    assert (summary.num_videos_skipped, summary.num_videos_left, summary.is_stopped) == (0, 0, False)
    assert summary.is_complete
    assert (summary.counts.num_clips, summary.counts.num_answers, summary.counts.num_failures) == (6, 12, 2)
    assert seen[-1].num_videos_begun == seen[-1].num_videos_planned == 5
    keys = [(row["video_uri"], row["clip_index"], row["question_id"]) for row in rows(job)]
    assert len(keys) == len(set(keys)) == 12
    assert {row["config_id"] for row in rows(job)} == {summary.config_id}
    failures = {Path(row["video_uri"]).name: row for row in rows(job, "failures")}
    assert {name: row["reason"] for name, row in failures.items()} == {"broken.mp4": "not_video", "empty.mp4": "empty"}
    assert all(row["message"] and row["stage"] == "decode" for row in failures.values())


def test_running_again_does_no_work_and_changes_no_byte(make_job: Callable[..., Job], asked: Any) -> None:
    job = make_job()
    flow.run(job, engine_factory=asked.make_factory())
    before, questions, num_engines = {**snapshot(job), **snapshot(job, "failures")}, asked.questions, asked.num_engines
    again = flow.run(job, engine_factory=asked.make_factory())
    assert {**snapshot(job), **snapshot(job, "failures")} == before != {}
    assert (asked.questions, asked.num_engines) == (questions, num_engines)
    assert (again.num_videos_skipped, again.num_videos_planned, again.counts.num_clips) == (5, 5, 0)
    assert again.is_complete


def test_a_new_question_is_asked_alone(make_job: Callable[..., Job], asked: Any) -> None:
    first = make_job()
    flow.run(first, engine_factory=ScriptedEngine)
    before = rows(first)
    bank = [{"id": q.id, "text": q.text, "type": q.type} for q in first.questions]
    summary = flow.run(make_job(questions=[*bank, NEW_QUESTION]), engine_factory=asked.make_factory())
    assert asked.questions == ["late"] * 6
    assert (summary.num_videos_answered, summary.num_videos_skipped) == (3, 2)
    assert [row for row in rows(first) if row["question_id"] != "late"] == before
    assert len(rows(first)) == 18


def test_a_new_and_a_changed_video_are_the_only_work(
    make_job: Callable[..., Job], make_video: Callable[..., Path], archive: Path, asked: Any
) -> None:
    job = make_job()
    flow.run(job, engine_factory=ScriptedEngine)
    make_video(archive / "new.mp4", seconds=2)
    make_video(archive / "video0.mp4", seconds=2, shade=99)
    summary = flow.run(job, engine_factory=asked.make_factory())
    assert (summary.num_videos_answered, summary.num_videos_skipped) == (2, 4)
    assert asked.questions == ["count"] * 2 + ["red"] * 2


def test_a_limit_goes_on_where_it_ended(make_job: Callable[..., Job]) -> None:
    job = make_job()
    skipped = [flow.run(job, engine_factory=ScriptedEngine, limit=2).num_videos_skipped for _ in range(3)]
    assert skipped == [0, 2, 4]
    assert len(rows(job)) == 12


def test_a_threshold_is_a_column_and_no_reason_to_ask_again(make_job: Callable[..., Job]) -> None:
    flow.run(make_job(gate={"threshold": 0.5}), engine_factory=ScriptedEngine)
    job = make_job(gate={"threshold": 0.9})
    assert flow.run(job, engine_factory=ScriptedEngine).num_videos_skipped == 5
    assert {row["threshold"] for row in rows(job)} == {"0.5"}


def test_audited_rows_are_those_of_the_sample_in_whatever_order_they_come(make_job: Callable[..., Job]) -> None:
    job = make_job(gate={"audit": {"rate": 0.4, "salt": "s"}})
    flow.run(job, engine_factory=ScriptedEngine, limit=2, in_process=True)
    flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    found, sample = rows(job), AuditSample(rate=0.4, salt="s")
    ranks = [sample.rank(clip_key(row["video_id"], int(row["clip_index"])), row["question_hash"]) for row in found]
    assert 0 < sum(rank < 0.4 for rank in ranks) < len(found)
    for row, rank in zip(found, ranks, strict=True):
        is_in = rank < 0.4
        assert row["audit_rank"] == str(rank if is_in else None)
        assert (row["gate_reason"], row["audit_rate"]) == ("audit" if is_in else "confident", "0.4")
    assert flow.plan(make_job()).config_id == flow.plan(job).config_id, "it changes no answer"


def test_a_sample_of_so_many_rows_falls_in_rate_as_the_archive_grows(make_job: Callable[..., Job]) -> None:
    job = make_job(gate={"audit": {"rows": 3}})
    flow.run(job, engine_factory=ScriptedEngine, limit=4, in_process=True)
    few = {float(row["audit_rate"]) for row in rows(job)}
    flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    found = rows(job)
    assert {float(row["audit_rate"]) for row in found} == few | {3 / len(found)}
    assert min(few) > 3 / len(found)


def test_a_threshold_is_taken_from_what_the_archive_certifies(make_job: Callable[..., Job]) -> None:
    first = make_job(gate={"audit": {"rate": 1.0}})
    flow.run(first, engine_factory=ScriptedEngine, limit=4, in_process=True)
    certified = make_job(gate={"threshold": {"certificate": "latest", "epsilon": 0.9}, "audit": {"rate": 1.0}})
    for start in (flow.plan, partial(flow.run, engine_factory=ScriptedEngine, in_process=True)):
        with pytest.raises(ConfigError, match=r"no threshold is certified of config_id .* run framegate calibrate"):
            start(certified)
    request = Request(job=None, config_id=flow.plan(first).config_id, audit=first.config.gate.audit, epsilon=0.9)
    findings = calibrate_output(first.config.output, request)
    store(first.config.output, findings)
    flow.run(certified, engine_factory=ScriptedEngine, in_process=True)
    sure = math.exp(-0.001)
    assert findings.calibration.whole.threshold == pytest.approx(sure)
    assert {row["threshold"] for row in rows(first)} == {"0.97", str(findings.calibration.whole.threshold)}


def test_ctrl_c_keeps_what_is_committed_and_the_next_run_goes_on(make_job: Callable[..., Job], asked: Any) -> None:
    job = make_job()

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    stopped = flow.run(job, engine_factory=asked.make_factory(), on_progress=interrupt)
    assert stopped.is_stopped
    assert stopped.is_complete
    flow.run(job, engine_factory=asked.make_factory())
    assert len(rows(job)) == 12
    assert flow.run(job, engine_factory=asked.make_factory()).num_videos_skipped == 5


def test_a_killed_run_is_resumed_to_the_same_rows(
    make_job: Callable[..., Job], tmp_path: Path, archive: Path, model_folder: Path
) -> None:
    undisturbed = make_job(output={"uri": str(tmp_path / "undisturbed")})
    flow.run(undisturbed, engine_factory=ScriptedEngine)
    killed = make_job()
    script = """
import os, pickle, signal, sys
from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
job = pickle.load(open(sys.argv[1], "rb"))
flow.run(job, engine_factory=ScriptedEngine, on_progress=lambda progress: os.kill(os.getpid(), signal.SIGKILL))
"""
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(killed))
    process = subprocess.run([sys.executable, "-c", script, str(tmp_path / "job.pickle")], capture_output=True)
    assert process.returncode == -9, process.stderr.decode()
    assert list((tmp_path / "index" / "journal").rglob("*.arrow.zst")) != []
    assert flow.run(killed, engine_factory=ScriptedEngine).is_complete
    for table in ("results", "failures"):
        assert rows(killed, table) == rows(undisturbed, table)


def test_plan_says_what_run_would_do_and_changes_nothing(make_job: Callable[..., Job], tmp_path: Path) -> None:
    job = make_job()
    planned = flow.plan(job)
    assert (planned.num_videos, planned.num_skipped, len(planned.videos)) == (5, 0, 5)
    assert not (tmp_path / "index").exists()
    summary = flow.run(job, engine_factory=ScriptedEngine, limit=1)
    assert summary.config_id == planned.config_id
    assert len(flow.plan(job).videos) == 4
    assert len(flow.plan(job, limit=2).videos) == 2


def test_columns_of_a_manifest_reach_both_tables(make_job: Callable[..., Job], archive: Path) -> None:
    (archive / "list.csv").write_text("uri,camera,floor\nvideo2.mp4,north,3\nbroken.mp4,south,4\ngone.mp4,,5\n")
    job = make_job(input={"videos": str(archive / "list.csv")})
    summary = flow.run(job, engine_factory=ScriptedEngine)
    assert (summary.num_videos_answered, summary.num_videos_failed) == (1, 2)
    assert {(row["input_camera"], row["input_floor"]) for row in rows(job)} == {("north", "3")}
    failures = {(row["reason"], row["input_floor"]) for row in rows(job, "failures")}
    assert failures == {("not_video", "4"), ("not_found", "5")}


def test_an_engine_that_cannot_be_built_ends_the_run_with_its_own_sentence(make_job: Callable[..., Job]) -> None:
    def build() -> ScriptedEngine:
        raise EngineError("the checkpoint has no head")

    with pytest.raises(EngineError) as caught:
        flow.run(make_job(), engine_factory=build)
    assert str(caught.value) == "the checkpoint has no head"


def test_a_worker_that_breaks_ends_the_run_in_one_sentence(make_job: Callable[..., Job]) -> None:
    def build() -> ScriptedEngine:
        raise RuntimeError("some\nnative thing")

    with pytest.raises(FramegateError, match="RuntimeError: some; what was committed until then is kept"):
        flow.run(make_job(), engine_factory=build)


def test_an_unknown_model_or_an_unwritable_output_stops_before_any_work(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="no-such-model"):
        flow.run(make_job(model={"name": "/no-such-model"}))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        flow.run(make_job(output={"uri": str(tmp_path / "file" / "index")}))
    with pytest.raises(StorageError, match="cannot write"):
        flow.run(make_job(output={"uri": "/proc/index"}))


def test_the_records_say_what_ran(make_job: Callable[..., Job]) -> None:
    job = make_job()
    summary = flow.run(job, engine_factory=ScriptedEngine, run_id="night-1")
    root = Path(job.config.output.uri)
    record = json.loads((root / "runs" / "night-1.json").read_text())
    assert record["counts"]["num_answers"] == 12
    assert record["config_id"] == summary.config_id
    document = yaml.safe_load((root / "configs" / f"{summary.config_id}.yaml").read_text())
    assert document["frames"]["fps"] == 2.0


def test_the_same_job_on_a_real_s3_server(
    make_job: Callable[..., Job], archive: Path, s3_root: str, s3_endpoint: str
) -> None:
    store, options = Store(), {"endpoint_url": s3_endpoint}
    for path in archive.iterdir():
        store.put_once(join(s3_root, "videos", path.name), path.read_bytes())
    job = make_job(
        input={"videos": f"{s3_root}/videos/*.mp4", "storage_options": options},
        output={"uri": f"{s3_root}/index", "storage_options": options},
    )

    def sealed() -> dict[str, bytes]:
        uris = [info.uri for kind in ("results", "failures") for info in store.list(f"{s3_root}/index/{kind}")]
        return dict(store.read_many(uris))

    summary = flow.run(job, engine_factory=ScriptedEngine)
    assert (summary.num_videos_answered, summary.num_videos_failed, summary.counts.num_answers) == (3, 2, 12)
    before = sealed()
    assert len(before) == 2
    assert list(store.list(f"{s3_root}/index/journal")) == list(store.list(f"{s3_root}/index/attempts")) == []
    assert flow.run(job, engine_factory=ScriptedEngine).num_videos_skipped == 5
    assert sealed() == before
