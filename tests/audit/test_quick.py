"""A quick audit compares records with the listing and opens no file that is as recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.erase.erase import erase
from framegate.pipelines.store import Store

Archive = Any


@pytest.fixture
def archive(make_archive: Callable[..., Archive], tmp_path: Path) -> Archive:
    return make_archive(str(tmp_path / "index"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the Parquet files that were opened: sealed ones and plans."""
    names: list[str] = []
    open_read = Store.open_read

    def noted(self: Store, uri: str) -> Any:
        names.append(uri.rpartition("/index/")[2])
        return open_read(self, uri)

    monkeypatch.setattr(Store, "open_read", noted)
    return names


def look(output: Output) -> dict[str, list[str]]:
    return {check.name: check.findings for check in audit(output, is_quick=True).checks if check.num_findings}


def sealed(archive: Archive, table: str = "results") -> Path:
    return min(Path(archive.output.root, table).rglob("*.parquet"))


def test_no_recorded_file_is_opened(archive: Archive, opened: list[str]) -> None:
    seal(archive.output, archive.config_id)
    opened.clear()
    assert look(archive.output) == {}
    assert opened == []


def test_only_what_an_erasure_replaced_is_opened(archive: Archive, opened: list[str]) -> None:
    erase(archive.output, ["a.mp4"])  # it has answers and no failures
    opened.clear()
    assert look(archive.output) == {}
    assert set(opened) == {f"results/config_id={archive.config_id}/00000000.parquet"}


def test_a_file_without_its_rows_is_found(archive: Archive) -> None:
    path = sealed(archive)
    path.write_bytes(path.read_bytes()[:-100])
    (sentence,) = look(archive.output)["sealed_files"]
    assert "cannot be read" in sentence


@pytest.mark.parametrize("table", ["results", "failures"])
def test_a_file_that_is_gone_or_in_no_seal_is_found(archive: Archive, table: str) -> None:
    path = sealed(archive, table)
    path.rename(path.with_name("00000099.parquet"))
    found = look(archive.output)
    assert set(found) == {"sealed_files"}
    in_no_seal, missing = sorted(found["sealed_files"], reverse=True)
    assert "is in no seal" in in_no_seal
    assert "is missing, and its" in missing


@pytest.mark.parametrize(("name", "rows"), [("num_answers", "num_answers"), ("num_failures", "num_failures")])
def test_records_that_do_not_add_up_to_the_files_are_found(archive: Archive, name: str, rows: str) -> None:
    path = Path(archive.output.layout.seal_record(archive.config_id, 0))
    record = json.loads(path.read_text())
    record["runs"]["run-1"][name] += 1
    path.write_text(json.dumps(record))
    first, second = look(archive.output)["counts"]
    assert f"of config_id {archive.config_id} say {rows}" in first
    assert "runs/run-1.json says" in second


def test_another_file_of_the_same_rows_is_found_by_its_size(archive: Archive) -> None:
    table = pq.read_table(sealed(archive), partitioning=None)
    pq.write_table(table, sealed(archive), compression="none")
    (sentence,) = look(archive.output)["sealed_files"]
    assert "no erasure replaced it" in sentence


@pytest.mark.parametrize("name", ["runs/run-1.json", "plans/run-1.parquet", "configs/{config_id}.yaml"])
def test_a_run_or_config_without_its_record_is_found(archive: Archive, name: str) -> None:
    Path(archive.output.root, name.format(config_id=archive.config_id)).unlink()
    assert set(look(archive.output)) == {"planned"}
