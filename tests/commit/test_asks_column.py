"""The asks of a row are a nested column: it comes through journal, seal, merge and erasure, and to every reader."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.audit.report import CHECKS
from framegate.pipelines.commit.journal import commit_unit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import compact, seal
from framegate.pipelines.commit.unit_rows import RunFacts
from framegate.pipelines.erase.erase import erase
from tests.units import ASKS

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
EXPECTED = [asdict(ask) for ask in ASKS]


def commit(output: Output, units: SimpleNamespace, facts: RunFacts, name: str) -> None:
    commit_unit(output, units.make_unit(units.make_video(name), range(2), num_clips=2), facts, written_at=NOON)


def test_asks_come_through_journal_seal_merge_and_erasure(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path))
    for name in "abc":
        commit(output, units, facts, name)
        seal(output, facts.config_id, file_bytes=1)
    assert compact(output, facts.config_id).num_merged == 3
    erase(output, ["a.mp4"])
    commit(output, units, facts, "d")  # stays in the journal
    assert [check for check in CHECKS if audit(output)[check].findings] == []
    glob = f"{tmp_path}/results/**/*.parquet"
    readers = [
        ds.dataset(f"{tmp_path}/results", format="parquet", partitioning="hive").to_table().to_pylist(),
        pl.read_parquet(glob).to_dicts(),
        duckdb.sql(f"FROM '{glob}'").arrow().read_all().to_pylist(),
    ]
    for rows in readers:
        told = {(row["video_uri"], row["question_id"], json.dumps(row["asks"]), row["agreement"]) for row in rows}
        assert told == {
            (f"{name}.mp4", *one) for name in "bc" for one in (("q0", "null", None), ("q1", json.dumps(EXPECTED), 0.5))
        }
    (file,) = output.list("results")
    group = pq.ParquetFile(file.uri).metadata.row_group(0)
    order = [group.column(one.column_index).path_in_schema for one in group.sorting_columns]
    assert order == ["question_id", "question_hash", "video_id", "clip_index"], "Parquet counts leaves"


def test_a_query_has_asks_of_journal_and_files_by_their_fields_and_in_csv_as_json(
    tmp_path: Path, units: SimpleNamespace, facts: RunFacts
) -> None:
    output = Output.at(str(tmp_path / "index"))
    commit(output, units, facts, "a")
    seal(output, facts.config_id)
    commit(output, units, facts, "b")
    sql = "SELECT asks, asks[1].num_frames AS n, agreement FROM answers WHERE question_id = 'q1'"
    said = CliRunner().invoke(app, ["query", sql, "-o", output.root, "-f", "csv"])
    assert said.exit_code == 0, said.output
    rows = list(csv.DictReader(said.output.splitlines()))
    assert [(json.loads(row["asks"]), row["n"], row["agreement"]) for row in rows] == [(EXPECTED, "2", "0.5")] * 4
