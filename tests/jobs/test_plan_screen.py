"""`framegate plan` on an archive of ten thousand names of all sorts: one screen says what is there and what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

Framegate = Callable[..., Result]
SCREEN_LINES = 40


@pytest.fixture
def archive(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Ten thousand names: 9,000 films, and a thousand of what else lies in folders."""
    folder, film = tmp_path / "archive", make_video(tmp_path / "film.mp4", seconds=2)
    for day in range(10):
        (folder / f"day {day} [raw]").mkdir(parents=True)
        for number in range(900):
            os.link(film, folder / f"day {day} [raw]" / f"clip {number} [{number:x}] {{a,b}} #{day}%.mp4")
    for number in range(300):
        os.link(film, folder / f".hidden-{number}.mp4")
        os.symlink("nothing", folder / f"dangling-{number}.mp4")
        with open(bytes(folder) + f"/latin-{number}-".encode() + b"\xe9.mp4", "wb"):
            pass
    for number in range(90):
        os.symlink(folder, folder / f"link-{number}")
        (folder / f"packed-{number}\x1b[31m.tar.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "index" / "results").mkdir(parents=True)
    (folder / "index").mkdir()
    return folder


def write_job(tmp_path: Path, model_folder: Path, **parts: object) -> Path:
    values = {
        "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
        "clips": {"seconds": 2},
        "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
        "model": {"name": str(model_folder)},
        **parts,
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_one_screen_says_how_many_videos_there_are_and_what_is_left_out(
    archive: Path, framegate: Framegate, tmp_path: Path, model_folder: Path
) -> None:
    output = archive / "index"
    (output / "layout.json").write_text('{"partition_by": []}')
    job = write_job(tmp_path, model_folder, input={"videos": f"{archive}/"}, output={"uri": str(output)})
    result = framegate("plan", str(job), "--json", str(tmp_path / "plan.json"))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) <= SCREEN_LINES
    assert result.stdout.replace("\n", "").isprintable()
    assert "num_videos                           9,390  videos that the input names" in lines
    notes = [line.removeprefix("note: ") for line in lines if line.startswith("note: ")]
    assert notes[:4] == [
        "left out: this job's own output, which lies below the input",
        "left out: 300 names with a dot in front, folders among them",
        "left out: 90 linked folders, which lead to what is listed already or above it",
        "left out: 300 links to nothing",
    ]
    assert notes[4].startswith("300 of the videos cannot be read, reason not_unicode (")
    assert notes[5].startswith("90 of the videos cannot be read, reason not_video (")
    firsts = {note.partition(":")[0]: note for note in notes[6:]}
    assert firsts["the first video with the reason not_unicode"].endswith(r"latin-0-\xe9.mp4")
    assert firsts["the first video with the reason not_video"].endswith(r"packed-0\x1b[31m.tar.gz")
    [row] = json.loads((tmp_path / "plan.json").read_text())["rows"]
    assert row["num_videos"] == 9390
    assert len(row["notices"]) == len(notes) - 2
    assert set(row["first_refused"]) == {"not_unicode", "not_video"}
    assert sorted(path.name for path in output.iterdir()) == ["layout.json"]


def test_a_listed_name_that_leads_nowhere_is_said(
    archive: Path, framegate: Framegate, tmp_path: Path, model_folder: Path
) -> None:
    videos = [f"{archive}/day 0 [raw]/", f"{archive}/nothing [1].mp4", f"{archive}/nothing*.mp4"]
    job = write_job(tmp_path, model_folder, input={"videos": videos}, output={"uri": str(tmp_path / "other")})
    result = framegate("plan", str(job))
    assert "note: 2 of the videos cannot be read, reason not_found (" in result.stdout
    assert "num_videos                             902" in result.stdout
    assert "left out" not in result.stdout
