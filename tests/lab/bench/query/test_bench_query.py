"""`framegate bench query`, small: both sides give the same rows, and requests are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from framegate.jobs.cli import app
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.lab.bench.query.measure_local import measure_local
from framegate.pipelines.lab.bench.query.sealed_output import make_output
from framegate.pipelines.lab.bench.query.synthetic_rows import SCHEMA, Archive
from framegate.schemas.errors import FramegateError

SMALL = Archive(num_nights=3, num_videos=200, num_cameras=2, num_clips=2, num_questions=3)


@pytest.fixture(scope="module")
def framegate() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(app, ["bench", "query", *(str(argument) for argument in arguments)])


def test_each_query_is_asked_of_both_sides(framegate: Callable[..., Result], tmp_path: Path) -> None:
    report = tmp_path / "query.json"
    result = framegate("--rows", 50_000, "--repeats", 1, "--folder", tmp_path, "--json", report)
    assert result.exit_code == 0, result.output
    rows = {row["query"]: row for row in json.loads(report.read_text())["rows"]}
    assert len(rows) == 9
    for row in rows.values():
        assert row["ratio"] == pytest.approx(row["view_seconds"] / row["plain_seconds"])
        assert row["cpu_ratio"] == pytest.approx(row["view_cpu_seconds"] / row["plain_cpu_seconds"])
        assert row["again_ratio"] == pytest.approx(row["view_again_seconds"] / row["plain_again_seconds"])
        assert 0 < row["open_seconds"] < row["view_seconds"]
    assert rows["think rates"]["num_rows"] == 10
    assert rows["one video"]["num_rows"] == 200
    assert (tmp_path / "query-50000").is_dir()


def test_the_output_is_one_that_was_sealed(tmp_path: Path) -> None:
    """But for the runs, of which there is no record."""
    output = make_output(tmp_path, SMALL)
    files = [info.uri for info in output.list("results")]
    assert len(files) == SMALL.num_cameras
    for uri in files:
        assert pq.ParquetFile(uri).schema_arrow.equals(SCHEMA)
    assert sum(pq.read_metadata(uri).num_rows for uri in files) == SMALL.num_rows
    checks = {check.name: check.findings for check in audit(output).checks}
    for name in ("unique_results", "unique_failures", "sealed_files", "schema", "strays"):
        assert checks[name] == [], name


def test_other_rows_are_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = make_output(tmp_path, SMALL)
    monkeypatch.setattr(
        "framegate.pipelines.lab.bench.query.measure_local.typical_queries",
        lambda archive: {"count": "SELECT count(*) AS n FROM {failures}"},  # the view leaves out what stands no more
    )
    with pytest.raises(FramegateError, match="'count' gives other rows"):
        list(measure_local(output, SMALL, repeats=1, on_query=lambda name: None))


def test_commands_on_s3_are_timed_and_their_requests_counted(framegate: Callable[..., Result], tmp_path: Path) -> None:
    report = tmp_path / "query.json"
    result = framegate("--s3", "--nights", 2, "--videos", 20, "--delay-ms", 1, "--repeats", 1, "--json", report)
    assert result.exit_code == 0, result.output
    rows = {row["command"]: row for row in json.loads(report.read_text())["rows"]}
    assert list(rows) == ["query, filtered", "query, failures", "status"]
    for row in rows.values():
        assert row["seconds"] > 0
        assert row["num_requests"] == row["num_listings"] + row["num_objects_read"]
