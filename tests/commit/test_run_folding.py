"""Folded records and plans: each is there once, whoever dies, sleeps, wakes up or folds at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit import run_folding
from framegate.pipelines.commit.lease import Member, enter
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plan, read_plans
from framegate.pipelines.commit.run_folding import DEAD_FOR, FOLD_FROM, fold_old_runs
from framegate.pipelines.commit.run_history import MARK
from framegate.pipelines.commit.runs import create_run, read_runs
from framegate.pipelines.commit.video_log import read_video_log
from framegate.pipelines.driver.heartbeat import RunRecord
from framegate.pipelines.store import ObjectInfo, Put, Store
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import FramegateError, StorageError
from tests.folded_runs import CONFIG_ID, NAMES, NOW, Before, Killed, all_plans, plan_row, put_night
from tests.run_records import put_old_begun, put_old_end, put_run
from tests.s3_faults import S3Faults


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index") if request.param == "local" else request.getfixturevalue("memory_root"))


def names(output: Output, folder: str) -> list[str]:
    return sorted(info.uri.rpartition("/")[2] for info in output.list(folder))


def test_a_few_runs_keep_objects_and_more_are_folded(output: Output) -> None:
    for number in range(FOLD_FROM - 1):
        put_night(output, number)
    fold_old_runs(output, NOW)
    assert names(output, "runs") == [f"night-{number}.json" for number in range(FOLD_FROM - 1)]
    put_night(output, FOLD_FROM - 1)
    put_night(output, FOLD_FROM, state="running")
    runs, plans = read_runs(output), all_plans(output)
    fold_old_runs(output, NOW)
    assert names(output, "runs") == ["history.json.gz", f"night-{FOLD_FROM}.json"]
    assert names(output, "plans") == ["history.parquet", f"night-{FOLD_FROM}.parquet"]
    assert list(read_runs(output).items()) == list(runs.items())
    assert all_plans(output) == plans
    for number in range(FOLD_FROM + 1, 3 * FOLD_FROM):
        put_night(output, number)
        fold_old_runs(output, NOW)
    assert list(read_runs(output)) == [f"night-{number}" for number in range(3 * FOLD_FROM)]
    assert all_plans(output)["night-0"] == [plan_row(0), plan_row(100)]
    assert len(names(output, "runs")) <= FOLD_FROM + 1
    assert len(names(output, "plans")) <= FOLD_FROM + 1


def test_records_of_earlier_versions_are_folded_as_they_are_read(output: Output) -> None:
    for number in range(FOLD_FROM):
        started_at = f"2026-11-0{number + 1}T01:00:00+00:00"
        put_old_begun(output, f"old-{number}", {"config_id": CONFIG_ID, "started_at": started_at})
        if number:
            put_old_end(output, f"old-{number}", {"run_id": f"old-{number}", "num_videos_left": number})
    runs = read_runs(output)
    fold_old_runs(output, NOW)
    assert names(output, "runs") == ["history.json.gz"]
    assert read_runs(output) == runs
    put_old_end(output, "old-0", {"run_id": "old-0", "num_videos_left": 0})  # it was alive after all
    late = read_runs(output)["old-0"]
    assert (late["state"], late["config_id"], late["num_videos_left"]) == ("complete", CONFIG_ID, 0)


def test_a_dead_run_is_folded_when_it_was_long_not_heard_of(output: Output) -> None:
    for number in range(FOLD_FROM):
        heard = (NOW - timedelta(days=number)).isoformat()
        put_night(output, number, "running", heartbeat={"at": heard, "number": 1, "every_seconds": 60.0})
    before = read_runs(output)
    fold_old_runs(output, NOW)
    assert len(names(output, "runs")) == 1 + FOLD_FROM  # the history has begun, and holds nothing
    fold_old_runs(output, NOW + DEAD_FOR + timedelta(hours=1))
    assert names(output, "runs") == ["history.json.gz"]
    assert read_runs(output) == before


def test_a_damaged_record_stays_and_hinders_nothing(output: Output) -> None:
    output.store.put_once(output.layout.run("odd"), b"{half")
    for number in range(FOLD_FROM):
        put_night(output, number)
    fold_old_runs(output, NOW)
    assert names(output, "runs") == ["history.json.gz", "odd.json"]


@dataclass(frozen=True)
class Mortal(Store):
    """Dies before its n-th change of storage, or right after it. `told` hears of each."""

    num_left: list[int] = field(default_factory=lambda: [10**9])

    def _age(self) -> None:
        if self.num_left[0] == 0:
            raise Killed
        self.num_left[0] -= 1

    def put_once(self, uri: str, data: bytes) -> Put:
        self._age()
        put = super().put_once(uri, data)
        self._age()
        return put

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        self._age()
        info = super().replace(uri, data, if_match=if_match)
        self._age()
        return info

    def delete(self, uris: Any) -> None:
        for uri in uris:
            self._age()
            super().delete([uri])
            self._age()


def test_killed_anywhere_it_loses_and_doubles_nothing(memory_root: str) -> None:
    output, num_deaths = Output.at(memory_root), 0
    for num_left in itertools.count():
        MemoryFileSystem.store.clear()
        for number in range(FOLD_FROM):
            put_night(output, number)
        runs, plans = read_runs(output), all_plans(output)
        try:
            fold_old_runs(Output(Mortal(num_left=[num_left]), output.layout), NOW)
        except Killed:
            num_deaths += 1
        assert read_runs(output) == runs
        assert all_plans(output) == plans
        assert {run_id for run_id, _ in read_plans(output, ["video_id"])} == set(plans)
        if num_deaths == num_left:
            break
        for number in range(FOLD_FROM, 2 * FOLD_FROM):
            put_night(output, number)
        fold_old_runs(output, NOW)
        assert (names(output, "runs"), names(output, "plans")) == (["history.json.gz"], ["history.parquet"])
        assert list(read_runs(output)) == [f"night-{number}" for number in range(2 * FOLD_FROM)]
        assert {number: len(rows) for number, rows in all_plans(output).items()} == dict.fromkeys(read_runs(output), 2)
    assert num_deaths > 20


@pytest.mark.parametrize("ending", ["history.json.gz", "night-1.json", "history.parquet", "night-1.parquet"])
def test_two_fold_at_once(output: Output, ending: str) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)
    runs, plans = read_runs(output), all_plans(output)
    act = [lambda: fold_old_runs(output, NOW)]
    fold_old_runs(Output(Before(ending=ending, act=act), output.layout), NOW)
    assert act == []
    assert read_runs(output) == runs
    assert all_plans(output) == plans


def test_another_one_has_folded_all_since_the_plans_were_listed(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)
    plans, listing = all_plans(output), run_folding.list_plans

    def list_and_fold(output: Output) -> list[ObjectInfo]:
        found = listing(output)
        monkeypatch.setattr(run_folding, "list_plans", listing)
        fold_old_runs(output, NOW)
        return found

    monkeypatch.setattr(run_folding, "list_plans", list_and_fold)
    fold_old_runs(output, NOW)
    assert all_plans(output) == plans


@pytest.mark.parametrize("ending", ["history.json.gz", "night-1.json"])
def test_a_record_that_changes_while_it_is_folded_keeps_the_change(output: Output, ending: str) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)
    act = [
        lambda: put_run(output, "night-1", state="stopped", config_id=CONFIG_ID, started_at="2026-11-02T01:00:00+00:00")
    ]
    fold_old_runs(Output(Before(ending=ending, act=act), output.layout), NOW)
    assert read_runs(output)["night-1"]["state"] == "stopped"
    for number in range(FOLD_FROM, 2 * FOLD_FROM):
        put_night(output, number)
    fold_old_runs(output, NOW)


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_run_that_slept_goes_on_in_the_history(output: Output, is_marked: bool) -> None:
    record = RunRecord(output, {"run_id": "sleeper", "state": "starting", "started_at": "2026"}, every_seconds=60)
    record.create()
    for number in range(FOLD_FROM):
        put_night(output, number)
    long_after = datetime.now(UTC) + DEAD_FOR + timedelta(days=1)
    act = [lambda: record.update(state="running", phase="working")] if is_marked else []
    fold_old_runs(Output(Before(ending="sleeper.json", act=[]), output.layout), long_after)
    assert names(output, "runs") == ["history.json.gz"]
    if is_marked:  # the folder died between mark and deletion
        output.store.put_once(output.layout.run("sleeper"), MARK)
        act.pop()()
    record.update(state="complete")
    assert read_runs(output)["sleeper"]["state"] == "complete"
    assert "sleeper.json" not in names(output, "runs") or output.store.read(output.layout.run("sleeper")) == MARK


def test_a_run_that_wakes_up_between_the_history_and_its_mark_loses_nothing(output: Output) -> None:
    record = RunRecord(output, {"run_id": "sleeper", "state": "starting", "started_at": "2026"}, every_seconds=60)
    record.create()
    for number in range(FOLD_FROM):
        put_night(output, number)
    act = [lambda: record.update(state="complete")]
    fold_old_runs(
        Output(Before(ending="sleeper.json", act=act), output.layout), datetime.now(UTC) + DEAD_FOR + timedelta(days=1)
    )
    assert act == []
    assert read_runs(output)["sleeper"]["state"] == "complete"


def test_a_reader_that_listed_before_finds_all(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)
    runs, plans = read_runs(output), {run_id: rows.num_rows for run_id, rows in read_plans(output, ["video_id"])}
    listing = Store.list

    def list_and_fold(self: Store, prefix: str) -> Iterator[ObjectInfo]:
        found = [*listing(self, prefix)]
        monkeypatch.setattr(Store, "list", listing)
        fold_old_runs(output, NOW)
        yield from found

    monkeypatch.setattr(Store, "list", list_and_fold)
    assert read_runs(output) == runs
    for number in range(FOLD_FROM, 2 * FOLD_FROM):
        plans[put_night(output, number)] = 2
    monkeypatch.setattr(Store, "list", list_and_fold)
    assert {run_id: rows.num_rows for run_id, rows in read_plans(output, ["video_id"])} == plans


def test_a_name_in_the_history_is_taken(output: Output) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)
    runs = read_runs(output)
    fold_old_runs(output, NOW)
    with pytest.raises(
        FramegateError, match=r"a run night-1 is recorded in .*history\.json\.gz; give this one another"
    ):
        create_run(output, "night-1", {"run_id": "night-1", "state": "starting", "started_at": "2027"})
    with pytest.raises(FramegateError, match="no run can be called history"):
        create_run(output, "history", {"run_id": "history", "state": "starting"})
    assert read_runs(output) == runs
    put_run(output, "night-1", started_at="2027")  # one that died before it was refused
    assert read_runs(output) == runs
    for number in range(FOLD_FROM, 2 * FOLD_FROM):
        put_night(output, number)
    fold_old_runs(output, NOW)
    assert {run_id: record for run_id, record in read_runs(output).items() if run_id in runs} == runs


def test_a_folded_run_has_lost_its_place(output: Output) -> None:
    put_run(output, "first", started_at="2026")
    assert enter(output, CONFIG_ID, Member(run_id="first"), now=NOW) is None
    output.store.replace(
        output.layout.run("first"), MARK, if_match=output.store.stat(output.layout.run("first")).version
    )
    assert enter(output, CONFIG_ID, Member(run_id="second"), now=NOW) is None


def test_the_log_of_videos_of_an_older_output_is_read_from_folded_plans(output: Output) -> None:
    for number in range(FOLD_FROM):
        put_night(output, number)
    before = read_video_log(output)
    fold_old_runs(output, NOW)
    after = read_video_log(output)
    assert after.rows().equals(before.rows())
    assert after.rows().num_rows == 2 * FOLD_FROM


@pytest.mark.parametrize("name", ["runs/history.json.gz", "plans/history.parquet"])
def test_a_damaged_history_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    output = Output.at(str(tmp_path))
    for number in range(FOLD_FROM):
        put_night(output, number)
    fold_old_runs(output, NOW)
    (tmp_path / name).write_bytes(b"half of it")
    what, read = {
        "runs": ("history of runs", lambda: read_runs(output)),
        "plans": ("whole Parquet file", lambda: read_plan(output, "night-1", NAMES)),
    }[name.partition("/")[0]]
    with pytest.raises(StorageError, match=f"history.* is no {what}"):
        read()
    assert any(f"is no {what}" in sentence for check in audit(output).checks for sentence in check.findings)


def test_thirty_nights_are_three_requests_to_read(s3_root: str, s3_faults: S3Faults) -> None:
    output = Output.open(OutputConfig(uri=s3_root, storage_options={"endpoint_url": s3_faults.endpoint}))
    for number in range(30):
        fold_old_runs(output, NOW)
        put_night(output, number % 28, started_at=f"{number:02}") if number < 28 else put_night(output, number)
    s3_faults.clear()
    assert len(read_runs(output)) == 30
    assert len(s3_faults.seen) <= 2 + FOLD_FROM
