"""`framegate bench seal`, on a small journal: it seals what it made, and says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal import seal
from framegate.pipelines.lab.bench.seal import CONFIG_ID, make_journal, measure_seal
from framegate.schemas.errors import InputError


def test_a_journal_is_made_sealed_and_gone(tmp_path: Path) -> None:
    report = tmp_path / "seal.json"
    arguments = ["bench", "seal", "--objects", "25", "--folder", str(tmp_path / "scratch"), "--json", str(report)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "objects/s" in result.output
    document = json.loads(report.read_text())
    assert document["command"] == "bench seal"
    [row] = document["rows"]
    assert (row["num_objects"], row["num_rows"], row["num_files"]) == (25, 250, 1)
    assert row["bytes_in"] > row["bytes_out"] > 10_000
    assert row["rows_per_second"] == pytest.approx(250 / row["seal_seconds"], rel=0.05)
    assert 50 < row["peak_rss_mib"] < 1000
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_journal_holds_as_many_different_keys_as_rows(tmp_path: Path) -> None:
    num_bytes = make_journal(tmp_path, 25, 2)
    files = list((tmp_path / "journal").rglob("*.arrow.zst"))
    assert (len(files), sum(file.stat().st_size for file in files)) == (25, num_bytes)
    assert len({file.parent for file in files}) == 3
    sealed = seal(Output.at(str(tmp_path)), CONFIG_ID)
    assert (sealed.num_answers, sealed.num_duplicates) == (250, 0)


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InputError, match=r"is not empty; name a folder that is"):
        measure_seal(tmp_path, num_objects=1)
