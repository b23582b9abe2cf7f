"""Commits, deepenings, audits, seals, foldings and erasures in any order, each dying between any two requests: every
row, record and plan exactly once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import BinaryIO

import pyarrow as pa
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from framegate.pipelines.commit.journal import commit_deepened, commit_unit, unit_uri
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import read_plan, read_plans
from framegate.pipelines.commit.records import PLAN, record_plan
from framegate.pipelines.commit.run_folding import fold_old_runs
from framegate.pipelines.commit.runs import create_run, read_runs
from framegate.pipelines.commit.seal import compact, finish_seals, seal
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.driver.heartbeat import RunRecord
from framegate.pipelines.erase.erase import complete_erasures, erase
from framegate.pipelines.plan.rejudged import rejudge
from framegate.pipelines.store import ObjectInfo, Put, Store
from framegate.schemas.deepening import Thresholds
from framegate.schemas.tables import RESULTS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG_AFTER = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = "abc"
AUDITED = "d"  # of this one all rows are in the audit sample
NUM_CLIPS = 3
RANGES = [range(a, b) for a, b in itertools.combinations(range(NUM_CLIPS + 1), 2)]
NEVER = 10**9


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass(frozen=True)
class MortalStore(Store):
    """A store whose process dies before one of its requests, or right after it was carried out."""

    num_left: list[int] = field(default_factory=lambda: [NEVER])

    @contextmanager
    def _request(self) -> Iterator[None]:
        self._age()
        yield
        self._age()

    def _age(self) -> None:
        if self.num_left[0] == 0:
            raise Killed
        self.num_left[0] -= 1

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._age()
        return super().list(prefix)

    def read_present(self, objects: Iterable[str | ObjectInfo]) -> Iterator[tuple[str, bytes | None]]:
        self._age()
        return super().read_present(objects)

    def open_read(self, uri: str) -> BinaryIO:
        self._age()
        return super().open_read(uri)

    def read_version(self, uri: str) -> tuple[ObjectInfo, bytes]:
        self._age()
        return super().read_version(uri)

    def put_once(self, uri: str, data: bytes) -> Put:
        with self._request():
            return super().put_once(uri, data)

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        with self._request():
            return super().replace(uri, data, if_match=if_match)

    def delete(self, uris: Iterable[str]) -> None:
        for uri in uris:
            with self._request():
                super().delete([uri])


class Archive(RuleBasedStateMachine):
    """What was committed is kept as sets of keys beside the output: `answered`, `deepened`, `rejudged` (audited rows
    whose second answer is to count), and `failed` with attempts."""

    units: SimpleNamespace
    facts: RunFacts

    def __init__(self) -> None:
        super().__init__()
        MemoryFileSystem.store.clear()
        self.output = Output.at("memory://archive")
        self.answered: set[tuple] = set()
        self.failed: set[tuple] = set()
        self.deepened: set[tuple] = set()
        self.rejudged: set[tuple] = set()
        self.erased: set[str] = set()
        self.maybe_erased: set[str] = set()
        self.runs: dict[str, str] = {}

    requests = st.one_of(st.just(NEVER), st.integers(0, 40))

    @rule(
        name=st.sampled_from(NAMES),
        indexes=st.sampled_from(RANGES),
        failing=st.booleans(),
        attempt=st.integers(1, 2),
        run=st.integers(1, 2),
    )
    def commit(self, name: str, indexes: range, failing: bool, attempt: int, run: int) -> None:
        """A run commits a unit; late ones commit what is sealed, cut another way, or of an erased video."""
        video, questions = self.units.make_video(name), self.units.QUESTIONS[:2]
        unit = self.units.make_unit(video, indexes, num_clips=NUM_CLIPS, failing=failing, attempt=attempt)
        facts = replace(self.facts, run_id=f"run-{run}")
        uri = unit_uri(self.output.layout, unit, facts.config_id)
        is_there = uri.removeprefix("memory:/") in MemoryFileSystem.store
        commit_unit(self.output, unit, facts, written_at=NOON)
        if is_there:
            return
        for clip, question in itertools.product(indexes, questions):
            if failing and question is questions[-1]:
                self.failed.add((video.uri, clip, question.hash, attempt))
            else:
                self.answered.add((video.uri, clip, question.hash))

    @rule(
        name=st.sampled_from(NAMES),
        indexes=st.sampled_from(RANGES),
        failing=st.booleans(),
        attempt=st.integers(1, 2),
        run=st.integers(1, 2),
    )
    def deepen(self, name: str, indexes: range, failing: bool, attempt: int, run: int) -> None:
        """A deepening commits a unit of rows that are sealed; two of them, and late ones, the same rows."""
        video, questions = self.units.make_video(name), self.units.QUESTIONS[:2]
        keys = {(video.uri, clip, question.hash) for clip, question in itertools.product(indexes, questions)}
        if not keys <= {row[:3] for row in self.sealed("results")}:
            return
        unit = self.units.make_deepened(video, indexes, num_clips=NUM_CLIPS, failing=failing, attempt=attempt + 5)
        facts = replace(self.facts, run_id=f"deepening-{run}")
        uri = unit_uri(self.output.layout, unit, facts.config_id)
        is_there = uri.removeprefix("memory:/") in MemoryFileSystem.store
        commit_unit(self.output, unit, facts, written_at=NOON)
        if is_there:
            return
        failed = {key for key in keys if failing and key[2] == questions[-1].hash}
        self.failed |= {(*key, attempt + 5) for key in failed}
        self.deepened |= keys - failed

    def commit_audited(self, indexes: range) -> None:
        unit = self.units.make_audited(self.units.make_video(AUDITED), indexes, num_clips=NUM_CLIPS)
        commit_unit(self.output, unit, self.facts, written_at=NOON)
        self.answered |= {
            (unit.video.uri, clip, question.hash)
            for clip, question in itertools.product(indexes, self.units.QUESTIONS[:2])
        }

    @rule(indexes=st.sampled_from(RANGES), threshold=st.sampled_from([0.98, 0.995, 0.995]))
    def rejudge(self, indexes: range, threshold: float) -> None:
        """A deepening lets second answers of audited rows count that are sealed and below its threshold; two of them,
        and late ones, the same rows. It begins with a seal."""
        self.commit_audited(indexes)
        seal(self.output, self.facts.config_id)
        sealed = [row for row in self.full_rows("results") if row["video_uri"] == f"{AUDITED}.mp4"]
        chosen = [row for row in sealed if row["gate_reason"] == "audit" and row["confidence_first"] < threshold]
        rows = pa.Table.from_pylist(chosen, schema=RESULTS)
        for rejudged in rejudge(rows, Thresholds(default=threshold)):
            commit_deepened(self.output, self.facts.config_id, rejudged)
            self.rejudged |= {
                (row["video_uri"], row["clip_index"], row["question_hash"]) for row in rejudged.to_pylist()
            }

    @rule(requests=requests, file_bytes=st.sampled_from([4096, 2**20]))
    def seal(self, requests: int, file_bytes: int) -> None:
        try:
            seal(
                Output(MortalStore(num_left=[requests]), self.output.layout),
                self.facts.config_id,
                file_bytes=file_bytes,
            )
        except Killed:
            return
        self.assert_all_is_sealed()

    @rule(requests=requests)
    def finish(self, requests: int) -> None:
        try:
            finish_seals(Output(MortalStore(num_left=[requests]), self.output.layout), self.facts.config_id)
        except Killed:
            return

    @rule(requests=requests)
    def compact(self, requests: int) -> None:
        """Until it is over, or another process has completed it, files that are merged stand beside the new one."""
        try:
            compact(Output(MortalStore(num_left=[requests]), self.output.layout), self.facts.config_id)
        except Killed:
            finish_seals(self.output, self.facts.config_id)

    @rule(name=st.sampled_from(NAMES), number=st.integers(0, 9), state=st.sampled_from(["complete", "running"]))
    def run(self, name: str, number: int, state: str) -> None:
        """A run begins, or ends; its plan and its record name a video. One that is at work says something new."""
        run_id = f"night-{number}"
        if self.runs.get(run_id) == "complete" or f"{name}.mp4" in self.maybe_erased:
            return
        started_at = f"2026-11-{number + 1:02}T00:00:00+00:00"
        facts = {"run_id": run_id, "state": state, "stop_reason": f"cannot read {name}.mp4", "started_at": started_at}
        if run_id not in self.runs:
            create_run(self.output, run_id, facts)
            rows = [dict(zip(PLAN.names, (name, f"{name}.mp4", "1", [], "c" * 16), strict=True)) for name in NAMES]
            planned = [row for row in rows if row["video_uri"] not in self.maybe_erased]
            record_plan(self.output, run_id, pa.Table.from_pylist(planned, schema=PLAN))
        else:
            RunRecord(self.output, facts, every_seconds=60).update()
        self.runs[run_id] = state

    @rule(requests=requests)
    def fold(self, requests: int) -> None:
        try:
            fold_old_runs(Output(MortalStore(num_left=[requests]), self.output.layout), LONG_AFTER)
        except Killed:
            return

    @rule(name=st.sampled_from([*NAMES, AUDITED]), requests=requests)
    def erase(self, name: str, requests: int) -> None:
        uri = f"{name}.mp4"
        self.maybe_erased.add(uri)
        try:
            erase(Output(MortalStore(num_left=[requests]), self.output.layout), [uri])
        except Killed:
            return
        self.assert_is_erased(uri)

    @rule()
    def complete_what_broke_off(self) -> None:
        complete_erasures(self.output)
        seal(self.output, self.facts.config_id)
        self.assert_all_is_sealed()

    @invariant()
    def no_key_is_there_twice_and_none_comes_from_nowhere(self) -> None:
        results, failures = self.sealed("results"), self.sealed("failures")
        assert len(results) == len(set(results))
        assert len(failures) == len(set(failures))
        assert {row[:3] for row in results} <= self.answered
        assert set(failures) <= self.failed
        for uri in self.erased:
            assert uri not in {row[0] for row in (*results, *failures)}

    @invariant()
    def no_row_is_lost(self) -> None:
        """What was committed and not erased is sealed or still in the journal."""
        kept = {row[:3] for row in self.sealed("results")} | {row[:3] for row in self.journal("answer")}
        assert {key for key in self.answered if key[0] not in self.maybe_erased} <= kept
        kept = set(self.sealed("failures")) | set(self.journal("failure")) | set(self.rows("deepened", "failure"))
        assert {key for key in self.failed if key[0] not in self.maybe_erased} <= kept

    @invariant()
    def each_row_is_as_before_or_as_after(self) -> None:
        """What a deepening committed and nobody erased is in its row, or still waits."""
        completed, counted = set(), set()
        for row in self.full_rows("results"):
            key = (row["video_uri"], row["clip_index"], row["question_hash"])
            if row["video_uri"] == f"{AUDITED}.mp4":
                after = (row["gate_reason"], row["answer"], row["answer_bool"], row["threshold"])
                assert after in (("audit", "yes", True, 0.97), ("unsure", "no", False, 0.995))
                assert (row["thinking"], row["answer_first"], row["answer_second"]) == (True, "yes", "no")
                counted |= {key} if row["gate_reason"] == "unsure" else set()
                continue
            after = (row["thinking"], row["answer_second"], row["deepened_at"], row["num_thinking_tokens"])
            assert after in ((False, None, None, 0), (True, "no", NOON, 7))
            assert row["answer_first"] == "yes"
            if row["thinking"]:
                completed.add(key)
        assert completed <= self.deepened
        assert counted <= self.rejudged
        waiting = {row[:3] for row in self.rows("deepened", "deepened")}
        assert {key for key in self.rejudged if key[0] not in self.maybe_erased} <= counted | waiting
        assert {key for key in self.deepened if key[0] not in self.maybe_erased} <= completed | waiting

    @invariant()
    def no_record_and_no_plan_is_lost(self) -> None:
        runs = read_runs(self.output)
        assert {run_id: record["state"] for run_id, record in runs.items()} == self.runs
        for run_id in runs:
            planned = [row["video_uri"] for row in read_plan(self.output, run_id, ["video_uri"]).to_pylist()]
            assert len(planned) == len(set(planned))
            assert {f"{name}.mp4" for name in NAMES} - self.maybe_erased <= set(planned)

    def assert_all_is_sealed(self) -> None:
        assert self.journal("answer") == self.journal("failure") == self.rows("deepened") == []
        for table, known in (("results", self.answered), ("failures", self.failed)):
            sealed = [row[:3] if table == "results" else row for row in self.sealed(table)]
            expected = sorted(key for key in known if key[0] not in self.maybe_erased)
            assert sorted(row for row in sealed if row[0] not in self.maybe_erased) == expected

    def assert_is_erased(self, uri: str) -> None:
        self.erased.add(uri)
        assert uri.encode() not in b"".join(MemoryFileSystem.store[path].getvalue() for path in self.tables())
        assert uri not in str(read_runs(self.output))
        for _, rows in read_plans(self.output, ["video_uri"]):
            assert uri not in rows.column("video_uri").to_pylist()

    def tables(self) -> list[str]:
        return [path for path in MemoryFileSystem.store if path.split("/")[2] in ("results", "failures")]

    def sealed(self, table: str) -> list[tuple]:
        return self.rows(table)

    def journal(self, kind: str) -> list[tuple]:
        return self.rows("journal", kind)

    def rows(self, folder: str, kind: str | None = None) -> list[tuple]:
        return [
            (row["video_uri"], row["clip_index"], row["question_hash"], row.get("attempts"))
            for row in self.full_rows(folder)
            if kind is None or row["row_kind"] == kind
        ]

    def full_rows(self, folder: str) -> list[dict]:
        files = [(path, object) for path, object in MemoryFileSystem.store.items() if path.split("/")[2] == folder]
        return [row for path, object in files for row in parse_unit(path, object.getvalue()).to_pylist()]


def test_every_row_exactly_once(units: SimpleNamespace, facts: RunFacts, memory_root: str) -> None:
    machine = type("ArchiveOfUnits", (Archive,), {"units": units, "facts": facts})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
