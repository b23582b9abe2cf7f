"""Engines stay full: nobody waits for who thinks long, and a worker that must end hands its units to another."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Ask, FinishedAsk
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError
from framegate.schemas.job import Job
from framegate.schemas.run import Progress


def keys(job: Job) -> Counter[tuple[Any, ...]]:
    found = duckdb.sql(f"SELECT video_uri, clip_index, question_id FROM '{job.config.output.uri}/results/**/*.parquet'")
    return Counter(found.fetchall())


@pytest.fixture
def many_videos(archive: Path, make_video: Callable[..., Path]) -> int:
    """Ten more videos of one clip; how many units the archive then has."""
    for number in range(10):
        make_video(archive / f"more{number:02d}.mp4", seconds=2, shade=number)
    return 10 + 3


@pytest.mark.usefixtures("ray_cluster")
def test_one_that_thinks_until_all_others_are_answered_keeps_nobody_waiting(
    make_job: Callable[..., Job], many_videos: int, tmp_path: Path
) -> None:
    log = tmp_path / "running"

    class ThinksLong(ScriptedEngine):
        """The first clip it is given comes back when those of all other units have."""

        def __init__(self) -> None:
            super().__init__()
            self._first = ""
            self._units: set[str] = set()
            self._held: list[FinishedAsk] = []
            self._began = time.monotonic()

        @property
        def num_unfinished(self) -> int:
            return super().num_unfinished + len(self._held)

        def add(self, ask: Ask) -> None:
            self._first = self._first or ask.clip.id.partition("/")[0]
            super().add(ask)

        def step(self) -> list[FinishedAsk]:
            finished = super().step()
            self._held += [one for one in finished if one.ask.clip.id.partition("/")[0] == self._first]
            finished = [one for one in finished if one.ask.clip.id.partition("/")[0] != self._first]
            self._units |= {one.ask.clip.id.partition("/")[0] for one in finished}
            if self._held:
                time.sleep(0.001)
            if time.monotonic() > self._began + 120:
                raise RuntimeError(f"only {len(self._units)} units came beside the one that thinks")
            if len(self._units) < many_videos - 1:
                return finished
            log.touch()
            held, self._held = self._held, []
            return finished + held

    seen: list[int] = []
    summary = flow.run(
        make_job(),
        engine_factory=lambda: ThinksLong(),
        on_progress=lambda progress: seen.append(progress.counts.num_failures) if not log.exists() else None,
    )
    assert log.exists()
    # Those that left before it were not only answered, but committed and told of.
    assert len(seen) >= many_videos // 2
    assert (summary.counts.num_answers, summary.counts.num_failures) == (2 * (6 + 10), 2)


@pytest.mark.usefixtures("ray_cluster")
def test_units_of_a_worker_whose_device_is_lost_come_back_from_another(
    make_job: Callable[..., Job], many_videos: int, tmp_path: Path
) -> None:
    lost = tmp_path / "lost"

    class LosesItsDevice(ScriptedEngine):
        def step(self) -> list[FinishedAsk]:
            if self.num_asks > 2 * 3 and not lost.exists():
                lost.touch()
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            assert threading.current_thread().name == "engine"
            return super().step()

    job = make_job()
    summary = flow.run(job, engine_factory=lambda: LosesItsDevice())
    assert lost.exists()
    assert (summary.is_complete, summary.counts.num_answers, summary.counts.num_failures) == (True, 2 * (6 + 10), 2)
    assert set(keys(job).values()) == {1}
    assert audit(Output.at(job.config.output.uri)).is_clean


@pytest.mark.usefixtures("ray_cluster")
def test_an_engine_that_breaks_down_fails_what_it_had_and_the_run_goes_on(
    make_job: Callable[..., Job], many_videos: int, tmp_path: Path
) -> None:
    broke = tmp_path / "broke"

    class BreaksOnce(ScriptedEngine):
        num_slots = 2

        def step(self) -> list[FinishedAsk]:
            if self.num_asks > 2 * 3 and not broke.exists():
                broke.touch()
                raise RuntimeError("the device is busy")
            return super().step()

    job = make_job(failures={"stop_share": 1.0})
    summary = flow.run(job, engine_factory=lambda: BreaksOnce())
    assert broke.exists()
    assert summary.is_complete
    num_failed = summary.counts.num_failures - 2
    # Three times the slots and one unit more, of two questions on at most three clips.
    assert 2 <= num_failed <= 3 * 2 + 2 * 3
    assert summary.counts.num_answers == 2 * (6 + 10) - num_failed
    again = flow.run(job, engine_factory=ScriptedEngine, retry_failed=True)
    assert again.counts.num_answers == num_failed


@pytest.mark.usefixtures("ray_cluster")
def test_ctrl_c_while_an_engine_thinks_ends_the_run_at_once(make_job: Callable[..., Job], many_videos: int) -> None:
    class NeverEnds(ScriptedEngine):
        """Answers six clips and thinks about the next for ever."""

        num_slots = 2

        def step(self) -> list[FinishedAsk]:
            if self.num_asks <= 2 * 6:
                return super().step()
            time.sleep(0.01)
            return []

    def interrupt(progress: Progress) -> None:
        if progress.counts.num_clips >= 3:
            raise KeyboardInterrupt

    job = make_job()
    began = time.monotonic()
    summary = flow.run(job, engine_factory=lambda: NeverEnds(), on_progress=interrupt)
    assert summary.is_stopped
    assert time.monotonic() - began < 60
    assert not list(Store().list(f"{job.config.output.uri}/attempts"))
    assert flow.run(job, engine_factory=ScriptedEngine).is_complete
    assert set(keys(job).values()) == {1}


@pytest.mark.usefixtures("ray_cluster")
def test_storage_that_refuses_an_answer_ends_the_run(
    make_job: Callable[..., Job], archive: Path, tmp_path: Path
) -> None:
    root = tmp_path / "index"

    class Blocks(ScriptedEngine):
        def step(self) -> list[FinishedAsk]:
            journal = root / "journal"
            if not journal.exists():
                journal.write_text("no folder")
            return super().step()

    with pytest.raises(StorageError, match="journal"):
        flow.run(make_job(input={"videos": str(archive / "video*.mp4")}), engine_factory=lambda: Blocks())


def test_without_ray_the_engine_thread_ends_with_the_run(
    make_job: Callable[..., Job], archive: Path, tmp_path: Path
) -> None:
    threads: list[threading.Thread] = []

    class Watches(ScriptedEngine):
        def step(self) -> list[FinishedAsk]:
            threads.append(threading.current_thread())
            return super().step()

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    for on_progress in (None, interrupt):
        output = tmp_path / f"stopped by {on_progress}"
        job = make_job(input={"videos": str(archive / "video*.mp4")}, output={"uri": str(output)})
        flow.run(job, engine_factory=Watches, in_process=True, on_progress=on_progress)
        [thread] = set(threads)
        assert not thread.is_alive()
        threads.clear()


def test_a_question_of_each_unit_that_thinks_keeps_no_other_unit_out(make_job: Callable[..., Job]) -> None:
    """Of a unit that is nearly answered only what is missing takes room at the engine."""
    num_held: list[int] = []

    class HoldsOneOfEachUnit(ScriptedEngine):
        """The first question of each unit comes back when all others have, or after 20 seconds."""

        num_slots = 2

        def __init__(self) -> None:
            super().__init__()
            self._units: set[str] = set()
            self._asks: set[Ask] = set()
            self._held: list[FinishedAsk] = []
            self._num_others = 0
            self._began = time.monotonic()

        @property
        def num_unfinished(self) -> int:
            return super().num_unfinished + len(self._held)

        def add(self, ask: Ask) -> None:
            unit = ask.clip.id.partition("/")[0]
            if unit not in self._units:
                self._units.add(unit)
                self._asks.add(ask)
            super().add(ask)

        def step(self) -> list[FinishedAsk]:
            finished = super().step()
            self._held += [one for one in finished if one.ask in self._asks]
            finished = [one for one in finished if one.ask not in self._asks]
            self._num_others += len(finished)
            time.sleep(0.001)
            if self._num_others + len(self._asks) < 12 and time.monotonic() < self._began + 20:
                return finished
            num_held.append(len(self._held))
            held, self._held = self._held, []
            return finished + held

    assert _answer_at_once(make_job(), HoldsOneOfEachUnit) == 12
    assert num_held[0] == 3


def test_callers_at_once_share_the_engine(make_job: Callable[..., Job]) -> None:
    """Units of many calls run together, and the engine never sinks to the last few."""
    num_open: list[int] = []

    class Counts(ScriptedEngine):
        num_slots = 4

        def step(self) -> list[FinishedAsk]:
            num_open.append(self.num_unfinished)
            time.sleep(0.002)
            return super().step()

    assert _answer_at_once(make_job(), Counts) == 12
    assert max(num_open) > 4


def _answer_at_once(job: Job, engine: Callable[[], ScriptedEngine]) -> int:
    """What an actor does, without Ray: each unit in a call of its own, all at once; how many answers there are."""
    from framegate.pipelines.plan.plan import make_plan
    from framegate.pipelines.worker.attempts import Attempts

    output = Output.open(job.config.output)
    strategy = make_strategy(job.config.gate)
    indexes = ShardIndexCache.of(job.config.output)
    planned = make_plan(job, flow.choose(job, strategy), indexes, limit=None, retry_failed=False)
    attempts = Attempts(output=output, config_id=planned.config_id, run_id="r")
    make_decode, make_answer = flow.make_workers(job, planned, attempts, strategy, engine, in_process=True)
    decode, answer = make_decode(), make_answer()
    units = [unit for row in range(planned.videos.num_rows) for unit in decode(planned.videos.slice(row, 1))]
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(answer, units))
    answer.close()
    return sum(table.column("num_answers")[0].as_py() for table in receipts)
