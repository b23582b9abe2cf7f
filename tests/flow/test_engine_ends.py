"""Engines on Ray that hang, grow or grow old: their processes end, and no row is lost or doubled."""

from __future__ import annotations

import ctypes
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.schemas.job import Job

pytestmark = pytest.mark.usefixtures("ray_cluster")
MIB = 2**20


def keys(job: Job, table: str = "results") -> Counter[tuple]:
    rows = duckdb.sql(f"SELECT video_uri, clip_index, question_id FROM '{job.config.output.uri}/{table}/**/*.parquet'")
    return Counter(rows.fetchall())


def reasons(job: Job) -> list[tuple]:
    return duckdb.sql(
        f"SELECT reason, count(*) FROM '{job.config.output.uri}/failures/**/*.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()


def markers(job: Job) -> list[Path]:
    return [path for path in Path(job.config.output.uri, "attempts").rglob("*") if path.is_file()]


def hang(*, with_lock: bool) -> None:
    if with_lock:
        ctypes.PyDLL(None).usleep(300_000_000)
    else:
        time.sleep(300)


@pytest.mark.parametrize("with_lock", [True, False])
def test_what_hangs_once_is_asked_again_and_nothing_fails(
    with_lock: bool, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    hung = tmp_path / "hung"
    hang_here = hang

    def hang_once(asks: Sequence[Ask]) -> None:
        if not hung.exists():
            hung.touch()
            hang_here(with_lock=with_lock)

    job = make_job(engine={"deadline_seconds": 2})
    summary = flow.run(job, engine_factory=lambda: ScriptedEngine(before_step=hang_once))
    assert hung.exists()
    assert summary.is_complete
    assert (summary.counts.num_answers, reasons(job)) == (12, [("empty", 1), ("not_video", 1)])
    assert set(keys(job).values()) == {1}
    assert markers(job) == []


@pytest.mark.parametrize(("with_lock", "reason"), [(True, "actor_crash"), (False, "engine_timeout")])
def test_what_hangs_each_time_is_given_up_and_the_others_are_answered(
    with_lock: bool, reason: str, make_job: Callable[..., Job], tmp_path: Path
) -> None:
    ends = tmp_path / "ends"
    ends.mkdir()
    hang_here = hang

    def hang_at_the_third_clip(asks: Sequence[Ask]) -> None:
        if any(ask.clip.start_seconds == 4 for ask in asks):
            (ends / str(os.getpid())).touch()
            hang_here(with_lock=with_lock)

    job = make_job(engine={"deadline_seconds": 2}, failures={"max_attempts": 2})
    summary = flow.run(job, engine_factory=lambda: ScriptedEngine(before_step=hang_at_the_third_clip))
    assert summary.is_complete
    assert len(list(ends.iterdir())) == 2
    assert summary.counts.num_answers == 2 * (2 + 1)
    assert reasons(job) == sorted([(reason, 6), ("empty", 1), ("not_video", 1)])
    assert set(keys(job).values()) == {1}
    assert markers(job) == []
    again = flow.run(job, engine_factory=ScriptedEngine, retry_failed=True)
    assert (again.counts.num_answers, again.num_videos_answered) == (6, 1)


@pytest.mark.parametrize("limits", [{"max_lifetime": "0.1s"}, {"max_growth_mib": 15}])
def test_worn_processes_are_replaced_and_no_row_is_lost_asked_twice_or_counted_as_a_death(
    limits: dict[str, object],
    make_job: Callable[..., Job],
    make_video: Callable[..., Path],
    archive: Path,
    tmp_path: Path,
) -> None:
    for number in range(40):  # three blocks: a process is replaced between two of them
        make_video(archive / f"more{number}.mp4", seconds=2, shade=number)
    pids, asks_seen, grown = tmp_path / "pids", tmp_path / "asks", []
    pids.mkdir()
    asks_seen.mkdir()

    class OneSlot(ScriptedEngine):
        num_slots = 1

        def add(self, ask: Ask) -> None:
            (asks_seen / uuid.uuid4().hex).touch()
            super().add(ask)

    def grow(asks: Sequence[Ask]) -> None:
        (pids / str(os.getpid())).touch()
        grown.append(b"x" * (10 * MIB))
        time.sleep(0.02)

    job = make_job(engine=limits, failures={"max_attempts": 1})
    summary = flow.run(job, engine_factory=lambda: OneSlot(before_step=grow))
    num_rows = 2 * (6 + 40)
    assert len(list(pids.iterdir())) >= 3, "no process was replaced"
    assert summary.is_complete
    assert summary.counts.num_answers == len(list(asks_seen.iterdir())) == num_rows
    assert (len(keys(job)), set(keys(job).values())) == (num_rows, {1})
    assert reasons(job) == [("empty", 1), ("not_video", 1)]
    assert markers(job) == []
