"""A column that earlier versions did not write is null in their rows, wherever these lie."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.audit.sealed import _check_schema
from framegate.pipelines.commit.journal import commit_unit, unit_uri
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.commit.unit_format import encode_unit
from framegate.pipelines.commit.unit_rows import RunFacts, journal_table
from framegate.schemas.tables import RESULTS
from framegate.schemas.unit import AnsweredUnit

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
