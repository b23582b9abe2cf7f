"""`framegate bench clips`: clips as a run has them, and rows as a seal writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.decode.clip_look import MAX_THUMBNAIL_BYTES
from tests.decode.ffmpeg_command import encode


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(encode("testsrc2=size=320x180:rate=10:duration=9", "libx264", "mp4"))
    return path


def measured(*arguments: str, report: Path) -> list[dict]:
    result = CliRunner().invoke(app, ["bench", "clips", *arguments, "--json", str(report)])
    assert result.exit_code == 0, result.output
    return json.loads(report.read_text())["rows"]


def test_clips_are_counted_timed_and_weighed(film: Path, tmp_path: Path) -> None:
    options = ("--seconds", "2", "--repeats", "2")
    [row] = measured(str(film), *options, report=tmp_path / "one.json")
    assert (row["file"], row["num_clips"]) == ("film.mp4", 5)
    assert row["decode_seconds"] > 0
    assert row["seconds_share"] == pytest.approx(row["look_seconds"] / row["decode_seconds"], rel=0.05)
    assert 500 < row["thumbnail_bytes"] <= MAX_THUMBNAIL_BYTES
    [bare] = measured(str(film), *options, "--values", "0", report=tmp_path / "bare.json")
    assert 1900 < row["sealed_bytes"] - bare["sealed_bytes"] < 3000, "1,024 values of two bytes each, hardly packed"


def test_several_videos_are_also_told_together(film: Path, tmp_path: Path) -> None:
    rows = measured(str(film), str(film), "--repeats", "1", report=tmp_path / "two.json")
    assert [row["file"] for row in rows] == ["film.mp4", "film.mp4", "all"]
    assert [row["num_clips"] for row in rows] == [1, 1, 2]


def test_what_is_no_video_ends_it(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["bench", "clips", str(tmp_path / "none.mp4")]).exit_code == 2
