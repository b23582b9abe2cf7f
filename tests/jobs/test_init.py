"""A first job is written for what lies there, says what each of its keys means, and can be planned at once."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml
from typer.testing import Result

from framegate.schemas.config.reference import list_keys
from framegate.schemas.job import load_job, parse_questions

Framegate = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def films(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Three films in two folders and two formats' names, and a text."""
    for name in ("north/a.mp4", "north/b.mp4", "south/c.MOV"):
        make_video(tmp_path / "films" / name, seconds=2)
    (tmp_path / "films" / "notes.txt").write_text("nothing to see")
    return tmp_path / "films"


def planned(framegate: Framegate, job: str, folder: Path) -> dict[str, Any]:
    result = framegate("plan", job, "--json", str(folder / "plan.json"))
    assert result.exit_code == 0, result.output
    return json.loads((folder / "plan.json").read_text())["rows"][0]


def test_a_job_for_a_folder_can_be_planned_at_once(framegate: Framegate, folder: Path, films: Path) -> None:
    result = framegate("init", str(films))
    assert result.exit_code == 0, result.output
    text = (folder / "job.yaml").read_text()
    assert "4 objects" in text
    assert "2 .mp4, 1 .MOV, 1 .txt" in " ".join(line.strip("# ") for line in text.splitlines())
    assert "a.mp4: h264, 64x64, 2 s" in text
    plan = planned(framegate, "job.yaml", folder)
    assert (plan["num_planned"], plan["num_unreadable"], plan["num_questions"]) == (3, 0, 4)
    assert load_job("job.yaml").config.output.uri == str(folder / "index")


def test_videos_below_the_job_are_named_relative_to_it(
    framegate: Framegate, folder: Path, make_video: Callable[..., Path]
) -> None:
    make_video(folder / "videos" / "a.mp4", seconds=2)
    assert framegate("init", "videos", "--out", "cameras.yaml").exit_code == 0
    assert yaml.safe_load((folder / "cameras.yaml").read_text())["input"] == {"videos": "videos/**/*.mp4"}
    assert (folder / "cameras-questions.yaml").exists()
    folder.rename(folder.with_name("moved"))
    config = load_job(folder.with_name("moved") / "cameras.yaml").config
    assert config.input.videos == str(folder.with_name("moved") / "videos/**/*.mp4")


def active_keys(values: dict[str, Any]) -> Iterator[str]:
    for part, inner in values.items():
        yield from (f"{part}.{key}" for key in inner) if isinstance(inner, dict) else [part]


def test_each_written_key_has_its_meaning_above_it_and_is_valid(
    framegate: Framegate, folder: Path, films: Path
) -> None:
    (films / "manifest.csv").write_text("uri,camera\nnorth/a.mp4,n1\nsouth/c.MOV,s1\n")
    assert framegate("init", str(films)).exit_code == 0
    text = (folder / "job.yaml").read_text()
    known = {key.name: key for group in list_keys() for key in group.keys}
    words = " ".join(line.strip().removeprefix("#") for line in text.splitlines())
    for name in active_keys(yaml.safe_load(text)):
        meaning = known[name].meaning.replace("`", "")
        assert re.sub(r"\s+", "", meaning) in re.sub(r"\s+", "", words), name
    # What is there as a comment is a key, too, and valid once it is active.
    active = re.sub(r"^  # (partition_by: .*)$", r"  \1", text, flags=re.MULTILINE)
    (folder / "job.yaml").write_text(active)
    assert load_job("job.yaml").config.output.partition_by == ("camera",)
    assert planned(framegate, "job.yaml", folder)["num_planned"] == 2
    parse_questions(yaml.safe_load((folder / "questions.yaml").read_text()))


def test_tables_that_are_no_manifest_and_two_that_are_leave_the_videos_to_their_names(
    framegate: Framegate, folder: Path, films: Path
) -> None:
    (films / "weather.csv").write_text("day,rain\n1,2\n")
    for name in ("one", "two"):
        (films / f"{name}.jsonl").write_text('{"uri": "north/a.mp4"}\n')
    assert framegate("init", str(films)).exit_code == 0
    assert planned(framegate, "job.yaml", folder)["num_planned"] == 3


def test_a_bucket_with_shards_has_its_output_beside_them(
    framegate: Framegate, folder: Path, films: Path, s3_root: str
) -> None:
    with tarfile.open(folder / "shard.tar", "w") as shard:
        shard.add(films / "north" / "a.mp4", "a.mp4")
        shard.add(films / "north" / "b.mp4", "b.mp4")
    store = s3fs.S3FileSystem()
    store.put(str(folder / "shard.tar"), f"{s3_root}/2026/shard-0000.tar")
    store.put(str(films / "south" / "c.MOV"), f"{s3_root}/2026/c.mov")
    result = framegate("init", s3_root, "--output", f"{s3_root}/index")
    assert result.exit_code == 0, result.output
    plan = planned(framegate, "job.yaml", folder)
    assert (plan["num_videos"], plan["num_planned"], plan["num_unreadable"]) == (3, 3, 0)
    assert framegate("init", s3_root, "--out", "other.yaml").exit_code == 0
    bucket = "/".join(s3_root.split("/")[:3])
    assert load_job("other.yaml").config.output.uri == f"{bucket}/framegate/index"


@pytest.mark.parametrize("there", ["job.yaml", "questions.yaml"])
def test_nothing_is_overwritten_and_nothing_written_beside_it(
    there: str, framegate: Framegate, folder: Path, films: Path
) -> None:
    (folder / there).write_text("mine")
    result = framegate("init", str(films))
    assert result.exit_code == 2
    assert f"{there} is there already" in result.stderr
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(there, "mine")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "nothing lies below"),
        ("nowhere", "nothing lies below"),
        ("a[b]", "glob"),
        ("https://archive.example/a.mp4?X-Amz-Signature=5ec2e7", "may be a signature"),
    ],
)
def test_what_has_no_videos_is_refused(name: str, said: str, framegate: Framegate, folder: Path) -> None:
    (folder / "empty").mkdir()
    result = framegate("init", name)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "5ec2e7" not in result.stderr
    assert not (folder / "job.yaml").exists()
