"""Folded records: nothing is lost where a sealer dies or others fold at once; an old plan counts for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import FOLD_FROM, seal
from framegate.pipelines.commit.seal_history import fold
from framegate.pipelines.commit.seal_log import SealLog, SealRecord
from framegate.pipelines.commit.seal_plan import SealPlan
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.store import Store
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import StorageError
from tests.s3_faults import S3Faults

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
Commit = Callable[[str], None]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output.at(str(tmp_path / "index"))


@pytest.fixture
def commit(output: Output, units: SimpleNamespace, facts: RunFacts) -> Commit:
    def commit(name: str) -> None:
        unit = units.make_unit(units.make_video(name), range(2), num_clips=2)
        commit_unit(output, unit, replace(facts, run_id="run-1"), written_at=NOON)

    return commit


def nights(output: Output, commit: Commit, config_id: str, names: str) -> None:
    for name in names:
        commit(name)
        seal(output, config_id)


def seals(output: Output) -> list[str]:
    return sorted(info.uri.rpartition("/")[2] for info in output.list("seals"))


def num_rows(log: SealLog) -> int:
    return sum(file.num_new_rows for record in log.read_records() for file in record.files)


def test_a_few_seals_keep_objects_and_more_are_folded(output: Output, commit: Commit, facts: RunFacts) -> None:
    log = SealLog(output, facts.config_id)
    nights(output, commit, facts.config_id, "abc"[: FOLD_FROM - 1])
    assert len(seals(output)) == 2 * (FOLD_FROM - 1)
    before = log.read_records()
    nights(output, commit, facts.config_id, "d")
    assert seals(output) == ["history.json.gz"]
    assert log.read_records()[:-1] == before
    nights(output, commit, facts.config_id, "ef")
    assert seals(output) == [
        f"{number:08d}.{end}" for number in (FOLD_FROM, FOLD_FROM + 1) for end in ("json", "plan.parquet")
    ] + ["history.json.gz"]
    assert [record.seal for record in log.read_records()] == [*range(FOLD_FROM + 2)]
    assert num_rows(log) == 6 * 2 * 2


def test_a_record_of_a_number_that_is_folded_counts_for_nothing(
    output: Output, commit: Commit, facts: RunFacts
) -> None:
    log = SealLog(output, facts.config_id)
    nights(output, commit, facts.config_id, "abcd")
    first = log.read_record(0)
    assert first is not None
    late = SealRecord(seal=0, files=(), runs={}, num_units=9, num_duplicates=0, num_erased=0)
    assert SealLog(output, facts.config_id).add_record(late) == (first, False)
    assert seals(output) == ["history.json.gz"]


def test_a_plan_of_a_number_that_is_folded_is_not_carried_out(output: Output, commit: Commit, facts: RunFacts) -> None:
    """A sealer that slept before it proposed finds the name free: it must neither write nor delete by that plan."""
    nights(output, commit, facts.config_id, "abcd")
    commit("e")
    journal = sorted(info.uri for info in output.list("journal"))
    empty = SealPlan(seal=1, objects=(), outputs=(), partition_by=(), file_bytes=1)
    assert SealLog(output, facts.config_id).propose(empty) is empty
    assert seals(output) == ["00000001.plan.parquet", "history.json.gz"]
    assert seal(output, facts.config_id).num_units == 1
    assert len(journal) == 1
    assert list(output.list("journal")) == []
    log = SealLog(output, facts.config_id)
    assert [record.seal for record in log.read_records()] == [0, 1, 2, 3, 4]
    assert num_rows(log) == 5 * 2 * 2
    assert "00000001.plan.parquet" not in seals(output)


def test_two_fold_at_once(output: Output, commit: Commit, facts: RunFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framegate.pipelines.commit.seal.FOLD_FROM", 100)
    nights(output, commit, facts.config_id, "abcde")
    log, others = SealLog(output, facts.config_id), SealLog(output, facts.config_id)
    before = log.read_records()
    put = Store.put_once

    def put_after_others(self: Store, uri: str, data: bytes):
        if uri.endswith("history.json.gz"):
            monkeypatch.setattr(Store, "put_once", put)
            others.fold(3)
        return put(self, uri, data)

    monkeypatch.setattr(Store, "put_once", put_after_others)
    log.fold(5)
    assert seals(output) == ["history.json.gz"]
    assert SealLog(output, facts.config_id).read_records() == before


def test_a_damaged_history_is_told_in_one_sentence(output: Output, commit: Commit, facts: RunFacts) -> None:
    nights(output, commit, facts.config_id, "abcd")
    Path(output.layout.seal_history(facts.config_id)).write_bytes(b"half of it")
    with pytest.raises(StorageError, match=r"history\.json\.gz is no history of seals"):
        SealLog(output, facts.config_id).read_records()
    findings = {check.name: check.findings for check in audit(output).checks}
    assert any("is no history of seals" in sentence for sentence in findings["sealed_files"])


def test_an_audit_reads_what_is_folded(output: Output, commit: Commit, facts: RunFacts) -> None:
    nights(output, commit, facts.config_id, "abcdef")
    checks = {check.name: check for check in audit(output).checks}
    assert checks["sealed_files"].findings == []
    assert checks["strays"].findings == []
    assert checks["unique_results"].findings == []


def test_a_reader_asks_for_the_history_once(s3_root: str, s3_faults: S3Faults, facts: RunFacts) -> None:
    """A version, for which another request is made, is what a sealer needs who replaces it."""
    output = Output.open(OutputConfig(uri=s3_root, storage_options={"endpoint_url": s3_faults.endpoint}))
    document = SealRecord(seal=0, files=(), runs={}, num_units=1, num_duplicates=0, num_erased=0).to_document()
    fold(output.store, output.layout.seal_history(facts.config_id), 1, lambda first, end: [document])
    s3_faults.clear()
    assert [record.num_units for record in SealLog(output, facts.config_id).read_history()] == [1]
    assert [seen.method for seen in s3_faults.seen] == ["GET"]
