"""A column that earlier versions did not write is null in their rows, wherever these lie."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.audit.audit import audit
from framegate.pipelines.audit.sealed import _check_schema
from framegate.pipelines.commit.journal import commit_unit, unit_uri
from framegate.pipelines.commit.migrate import count_outdated
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import compact, migrate, seal
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.schemas.tables import RESULTS
from framegate.schemas.unit import AnsweredUnit
from tests.old_outputs import take_newer_columns_out

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NEW = "clip_is_letterboxed"


def commit_as_earlier(output: Output, unit: AnsweredUnit, facts: RunFacts) -> None:
    """As `commit_unit`, without the column."""
    table: pa.Table = journal_table(unit, facts, written_at=NOON).drop_columns([NEW])
    output.store.put_once(unit_uri(output.layout, unit, facts.config_id), encode_unit(table))


def test_units_of_both_versions_are_sealed_together(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    old, new = (units.make_unit(units.make_video(name), range(2), num_clips=2) for name in ("old", "new"))
    commit_as_earlier(output, old, facts)
    commit_unit(output, new, facts, written_at=NOON)
    assert seal(output, facts.config_id).num_answers == 8
    rows = pq.ParquetFile(output.layout.sealed("results", facts.config_id, "", 0)).read().to_pylist()
    assert {(row["video_uri"], row[NEW]) for row in rows} == {("old.mp4", None), ("new.mp4", False)}


def test_units_of_the_earlier_version_alone_are_sealed(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> None:
    output = Output.at(str(tmp_path))
    commit_as_earlier(output, units.make_unit(units.make_video("old"), range(2), num_clips=2), facts)
    assert seal(output, facts.config_id).num_answers == 4
    table = pq.ParquetFile(output.layout.sealed("results", facts.config_id, "", 0)).read()
    assert table.column(NEW).null_count == 4


@pytest.fixture
def earlier(tmp_path: Path, units: SimpleNamespace, facts: RunFacts) -> Output:
    """An output with two sealed files of an earlier version, of two rows each, in order of their videos."""
    output = Output.at(str(tmp_path))
    for name in ("a", "b"):
        commit_unit(output, units.make_unit(units.make_video(name), range(1), num_clips=1), facts, written_at=NOON)
        seal(output, facts.config_id, file_bytes=1)
    take_newer_columns_out(output)
    return output


def sealed_rows(output: Output) -> list[tuple[str, object]]:
    files = [info.uri for info in output.list("results")]
    assert all(pq.read_schema(uri).names == RESULTS.names for uri in files)
    rows = [row for uri in files for row in pq.ParquetFile(uri).read().to_pylist()]
    return sorted((row["video_uri"], row[NEW]) for row in rows)


OLD_ROWS = [("a.mp4", None), ("a.mp4", None), ("b.mp4", None), ("b.mp4", None)]


def test_files_of_the_earlier_version_are_migrated(earlier: Output, facts: RunFacts) -> None:
    assert NEW not in pq.read_schema(next(iter(earlier.list("results"))).uri).names
    assert count_outdated(earlier, facts.config_id) == 2
    assert migrate(earlier, facts.config_id).num_files == 2
    assert count_outdated(earlier, facts.config_id) == 0
    assert sealed_rows(earlier) == OLD_ROWS
    assert migrate(earlier, facts.config_id).num_files == 0


def test_files_of_the_earlier_version_are_merged(earlier: Output, facts: RunFacts) -> None:
    assert compact(earlier, facts.config_id).num_merged == 2
    assert sealed_rows(earlier) == OLD_ROWS


def test_a_file_of_the_earlier_version_is_filled_up(earlier: Output, units: SimpleNamespace, facts: RunFacts) -> None:
    commit_unit(earlier, units.make_unit(units.make_video("c"), range(1), num_clips=1), facts, written_at=NOON)
    seal(earlier, facts.config_id)
    migrate(earlier, facts.config_id)
    assert len(list(earlier.list("results"))) == 2
    assert sealed_rows(earlier) == [*OLD_ROWS, ("c.mp4", False), ("c.mp4", False)]


def test_an_audit_takes_no_offence_at_a_unit_of_the_earlier_version(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    commit_as_earlier(output, units.make_unit(units.make_video("old"), range(2), num_clips=2), facts)
    assert audit(output)["journal"].findings == []


class _Findings(list[str]):
    find = list.append


def test_an_audit_takes_no_offence_at_files_of_the_earlier_version() -> None:
    found = _Findings()
    earlier = pa.schema([field for field in RESULTS if field.name != NEW])
    assert _check_schema({"schema": found}, "x", earlier, RESULTS) == set()  # pyright: ignore[reportArgumentType]
    assert found == []
    changed = RESULTS.set(RESULTS.get_field_index(NEW), pa.field(NEW, pa.string()))
    assert _check_schema({"schema": found}, "x", changed, RESULTS) == {NEW}  # pyright: ignore[reportArgumentType]
    assert found == [f"x has string as {NEW}, not bool"]
