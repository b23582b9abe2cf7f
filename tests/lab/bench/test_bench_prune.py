"""`framegate bench prune`: the share of tokens that stays, and that shorter prefills take less time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench import overlap


def test_shares_of_made_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_SECONDS", 16)
    report = tmp_path / "report.json"
    options = ["--parameters", "1M", "--repeats", "1", "--seconds", "8", "--pixels", "50176"]
    settings = ["--threshold", "0", "--threshold", "0.05", "--rate", "0.5"]
    result = CliRunner().invoke(app, ["bench", "prune", *options, *settings, "--json", str(report)])
    assert result.exit_code == 0, result.output
    rows = json.loads(report.read_text())["rows"]
    assert [(row["film"], row["method"], row["value"]) for row in rows] == [
        (film, method, value)
        for film in ("made-still", "made-still-noisy")
        for method, value in (("none", 0.0), ("change", 0.0), ("change", 0.05), ("evs", 0.5))
    ]
    shares = [row["kept_share"] for row in rows]
    assert shares[0] == shares[1] == shares[4] == shares[5] == 1
    assert 1 / 8 <= shares[2] < 0.6  # of 8 steps a clip: something passes for 4 of 16 s
    assert shares[3] == shares[7] == 0.5
    assert all(row["prefill_seconds"] > 0 and row["num_clips"] == 2 for row in rows)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "prune", str(tmp_path / "none.mp4")])
    assert result.exit_code == 2
