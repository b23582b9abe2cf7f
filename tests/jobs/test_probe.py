"""`framegate probe`: one row per video, whatever it is; a verdict is a column and no error."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from framegate.pipelines.store import Store
from tests.web_server import WebServer

Framegate = Callable[..., Result]
KEYS = {
    *("uri", "verdict", "message", "container", "codec", "width", "height", "duration_seconds", "fps", "num_streams"),
    *("num_clips", "num_frames", "num_video_tokens", "size_bytes", "bytes_to_read"),
}


@pytest.fixture
def videos(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A folder with a video of 4 s, a text named like one, and a shard that holds a video and a link."""
    folder = tmp_path / "videos"
    folder.mkdir()
    film = make_video(folder / "film.mp4", shade=40)
    (folder / "notes.mp4").write_text("not a video")
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        shard.add(film, "first.mp4")
        link = tarfile.TarInfo("second.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        shard.addfile(link, io.BytesIO())
    return folder


def probe(framegate: Framegate, tmp_path: Path, *arguments: str) -> tuple[Result, list[dict[str, Any]]]:
    result = framegate("probe", *arguments, "--json", str(tmp_path / "probe.json"))
    written = json.loads((tmp_path / "probe.json").read_text())
    assert written["command"] == "probe"
    assert all(set(row) == KEYS for row in written["rows"])
    return result, written["rows"]


def test_a_video_is_shown_as_the_decoder_sees_it(framegate: Framegate, videos: Path, tmp_path: Path) -> None:
    result, (row,) = probe(framegate, tmp_path, str(videos / "film.mp4"))
    assert result.exit_code == 0, result.output
    assert row["uri"] == str(videos / "film.mp4")
    assert (row["verdict"], row["message"]) == ("ok", "")
    assert (row["container"], row["codec"]) == ("iso_bmff", "h264")
    assert row["duration_seconds"] == pytest.approx(4, abs=0.3)
    assert (row["num_streams"], row["num_clips"], row["num_frames"]) == (1, 1, 8)
    assert row["num_video_tokens"] > 0
    assert row["size_bytes"] == (videos / "film.mp4").stat().st_size
    assert 0 < row["bytes_to_read"] <= row["size_bytes"]
    assert f"{row['width']}x{row['height']}" in result.stdout


def test_what_cannot_be_decoded_is_a_row_that_says_why(framegate: Framegate, videos: Path, tmp_path: Path) -> None:
    names = [str(videos), str(tmp_path / "gone.mp4"), str(tmp_path / "*.avi"), "", "nothing://here/a.mp4"]
    result, rows = probe(framegate, tmp_path, *names)
    assert result.exit_code == 0, result.output
    assert [row["verdict"] for row in rows] == ["ok", "not_video", "storage", "storage", "storage", "storage"]
    assert all(row["message"] for row in rows[1:])
    assert all(row["codec"] is None for row in rows[1:])
    assert rows[1]["size_bytes"] == len("not a video")
    assert rows[2]["size_bytes"] is None
    assert str(tmp_path / "gone.mp4") in result.stdout.replace("\n", "")
    assert "Traceback" not in result.output


def test_a_shard_is_probed_member_by_member(framegate: Framegate, videos: Path, tmp_path: Path) -> None:
    shard = str(tmp_path / "shard.tar")
    result, rows = probe(framegate, tmp_path, shard)
    assert result.exit_code == 0, result.output
    assert [(row["uri"], row["verdict"]) for row in rows] == [
        (f"{shard}#first.mp4", "ok"),
        (f"{shard}#second.mp4", "unsafe_member"),
    ]
    assert rows[0]["size_bytes"] == (videos / "film.mp4").stat().st_size
    result, rows = probe(framegate, tmp_path, f"{shard}#first.mp4")
    assert (result.exit_code, len(rows)) == (0, 1)


def test_a_job_says_how_videos_are_cut_and_looked_at(
    framegate: Framegate, videos: Path, tmp_path: Path, model_folder: Path
) -> None:
    job = tmp_path / "job.yaml"
    values = {
        "input": {"videos": "videos/"},
        "clips": {"seconds": 2},
        "frames": {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136},
        "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
        "model": {"name": str(model_folder)},
        "output": {"uri": "index"},
    }
    job.write_text(yaml.safe_dump(values))
    result, (row,) = probe(framegate, tmp_path, str(videos / "film.mp4"), "--job", str(job))
    assert result.exit_code == 0
    assert (row["num_clips"], row["num_frames"], row["num_video_tokens"]) == (2, 4, 2 * 4)
    job.write_text(yaml.safe_dump({**values, "clips": {"second": 2}}))
    result = framegate("probe", str(videos / "film.mp4"), "--job", str(job))
    assert result.exit_code == 2
    assert "seconds" in result.output


ODD_NAMES = (
    "clip [abc123].mp4",
    "a{1,2}.mp4",
    "cam::1.mp4",
    "what?.mp4",
    "100%#+.mp4",
    "ü b.mp4",
    "new\nline\x1b[m.mp4",
)


def test_odd_names_are_probed_one_by_one_and_printed_harmlessly(
    framegate: Framegate, videos: Path, tmp_path: Path
) -> None:
    names = [str(tmp_path / "odd" / name) for name in ODD_NAMES]
    (tmp_path / "odd").mkdir()
    for name in names:
        os.link(videos / "film.mp4", name)
    (tmp_path / "odd" / "bad\x1b[2J.mp4").write_text("no video")
    result, rows = probe(framegate, tmp_path, *names, str(tmp_path / "odd"))
    assert [row["uri"] for row in rows[: len(names)]] == names
    assert sorted(row["verdict"] for row in rows) == ["not_video", *["ok"] * 2 * len(names)]
    assert "\x1b" not in result.stdout
    assert r"bad\x1b[2J.mp4: " in result.stdout


def test_a_signed_url_is_probed_and_its_signature_shown_nowhere(
    framegate: Framegate, videos: Path, tmp_path: Path
) -> None:
    with WebServer({"/film.mp4": (videos / "film.mp4").read_bytes()}, signature="sig=s3cret") as server:
        uri = f"{server.root}/film.mp4"
        result, rows = probe(framegate, tmp_path, f"{uri}?sig=s3cret", f"{uri}?sig=s3cret-old")
    assert [(row["uri"], row["verdict"]) for row in rows] == [(uri, "ok"), (uri, "storage")]
    assert "s3cret" not in result.output
    assert "s3cret" not in (tmp_path / "probe.json").read_text()


def test_objects_on_a_real_s3_server_are_probed_by_ranges(
    framegate: Framegate, videos: Path, tmp_path: Path, s3_root: str
) -> None:
    for path in (videos / "film.mp4", tmp_path / "shard.tar"):
        Store().put_once(f"{s3_root}/archive/{path.name}", path.read_bytes())
    names = [f"{s3_root}/archive/", f"{s3_root}/archive/shard.tar#first.mp4", "s3://no-such-bucket-here/film.mp4"]
    result, rows = probe(framegate, tmp_path, *names)
    assert result.exit_code == 0, result.output
    assert [(row["uri"].removeprefix(s3_root), row["verdict"]) for row in rows] == [
        ("/archive/film.mp4", "ok"),
        ("/archive/shard.tar#first.mp4", "ok"),
        ("/archive/shard.tar#second.mp4", "unsafe_member"),
        ("/archive/shard.tar#first.mp4", "ok"),
        ("s3://no-such-bucket-here/film.mp4", "storage"),
    ]
    assert {row["num_frames"] for row in rows if row["verdict"] == "ok"} == {8}
