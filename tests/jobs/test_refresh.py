"""The command says what it found, and is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.video_log import add_to_video_log, read_video_log
from framegate.pipelines.commit.video_rows import make_rows
from framegate.schemas.clock import now

Framegate = Callable[..., Result]


def write_job(folder: Path) -> Path:
    (folder / "videos").mkdir()
    (folder / "videos" / "a.mp4").write_bytes(b"a film")
    job = folder / "job.yaml"
    job.write_text(
        f"input: {{videos: {folder}/videos/}}\nmodel: {{name: nowhere}}\noutput: {{uri: {folder}/index}}\n"
        "questions: [{id: q, text: Is anyone there, type: yes_no}]\n",
        encoding="utf-8",
    )
    return job


def test_it_needs_no_model_and_counts_what_changed(framegate: Framegate, tmp_path: Path) -> None:
    job = write_job(tmp_path)
    output = Output.at(str(tmp_path / "index"))
    gone = {"video_uri": f"{tmp_path}/videos/b.mp4", "video_id": "b" * 16, "video_version": "1", "size_bytes": 1}
    seen = {"state": "current", "first_seen": now(), "since": now(), "source": f"{tmp_path}/videos/"}
    add_to_video_log(output, make_rows({**gone, **seen}, 1), read_video_log(output))
    result = framegate("refresh", str(job), "--json", str(tmp_path / "refresh.json"))
    assert result.exit_code == 0, result.output
    [row] = json.loads((tmp_path / "refresh.json").read_text())["rows"]
    assert row == {
        "num_videos": 1, "num_new": 1, "num_corrected": 0, "num_superseded": 0, "num_gone": 1, "num_not_listed": 0,
    }  # fmt: skip
    assert "are gone from storage since then" in result.output


def test_an_output_without_runs_is_told_in_one_sentence(framegate: Framegate, tmp_path: Path) -> None:
    result = framegate("refresh", str(write_job(tmp_path)))
    assert result.exit_code == 2
    assert "knows of no videos yet" in result.output
    assert not (tmp_path / "index" / "videos").exists()
