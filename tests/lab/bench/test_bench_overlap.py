"""`framegate bench overlap`: what is shared is decoded and seen once, and the shares of it are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.lab.bench import overlap
from tests.decode.ffmpeg_command import encode


def test_shares_of_made_films_and_of_a_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_SECONDS", 20)
    film, report = tmp_path / "film.mp4", tmp_path / "report.json"
    film.write_bytes(encode("testsrc2=size=320x180:rate=10:duration=12", "libx264", "mp4"))
    options = ["--parameters", "1M", "--repeats", "1", "--seconds", "4", "--pixels", "12544", "--dtype", "float32"]
    result = CliRunner().invoke(app, ["bench", "overlap", str(film), *options, "--json", str(report)])
    assert result.exit_code == 0, result.output
    still, noisy, moving = json.loads(report.read_text())["rows"]
    assert (still["film"], noisy["film"], moving["film"]) == ("made-still", "made-still-noisy", "film")
    assert [row["num_clips"] for row in (still, noisy, moving)] == [9, 9, 5]
    # Of 4 steps a clip, all but the first clip take over two.
    assert noisy["reused_share"] == pytest.approx(8 * 2 / 36, abs=1e-3)
    assert moving["reused_share"] == pytest.approx(4 * 2 / 20, abs=1e-3)
    assert (noisy["still_share"], moving["still_share"]) == (0, 0)
    assert still["still_share"] > 0.5  # something passes for 4 of 20 s
    assert still["near_share"] >= still["still_share"]
    assert still["vision_share"] < noisy["vision_share"] < 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "overlap", str(tmp_path / "none.mp4")])
    assert result.exit_code == 2
