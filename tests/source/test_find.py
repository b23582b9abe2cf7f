"""Finding: a prefix, a glob, a list and a manifest name the same videos, on every kind of storage."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import ABSENT, to_videos
from framegate.pipelines.store import Store, join
from framegate.schemas.clip import Video
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import InputError, ObjectNotFound


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "videos")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


def put(root: str, *names: str) -> list[str]:
    for name in names:
        Store().put_once(join(root, name), name.encode())
    return [join(root, name) for name in names]


def find(videos: str | list[str] | tuple[str, ...]) -> list[Video]:
    return list(to_videos(find_videos(InputConfig(videos=videos))))  # type: ignore[arg-type]


def found(videos: str | list[str]) -> list[str]:
    return [video.uri for video in find(videos)]


def test_prefix_glob_list_and_one_name_find_the_same(root: str) -> None:
    a, b = put(root, "a.mp4", "deep/b.mkv")
    assert [uri.split("/")[-1] for uri in found(root)] == ["a.mp4", "b.mkv"]
    assert found(root + "/") == found(root) == found(join(root, "**/*.m*")) == found([b, a]) == found([root + "/", a])
    assert found(a) == found(root)[:1]


def test_an_overwritten_video_is_a_new_one(root: str) -> None:
    [uri] = put(root, "a.mp4")
    [before] = find(root)
    Store().delete([uri])
    Store().put_once(uri, b"something else")
    [after] = find(root)
    assert after.uri == before.uri
    assert after.video_id != before.video_id


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_manifest_brings_its_other_columns(root: str, suffix: str) -> None:
    put(root, "a.mp4")
    if suffix == "csv":
        data = b"uri,camera,floor\na.mp4,north,3\n"
    elif suffix == "jsonl":
        data = b'{"uri": "a.mp4", "camera": "north", "floor": 3}\n'
    else:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"uri": ["a.mp4"], "camera": ["north"], "floor": [3]}), sink)
        data = sink.getvalue().to_pybytes()
    manifest = join(root, f"list.{suffix}")
    Store().put_once(manifest, data)
    [video] = find(manifest)
    assert video.uri.endswith("a.mp4")
    assert video.size_bytes == 5
    assert video.inputs == {"camera": "north", "floor": 3}


def test_times_in_a_manifest_stay_times(tmp_path: Path) -> None:
    put(str(tmp_path), "a.mp4")
    taken = datetime(2026, 11, 21, 3, 0)
    pq.write_table(pa.table({"uri": ["a.mp4"], "taken": [taken]}), tmp_path / "list.parquet")
    [video] = find(str(tmp_path / "list.parquet"))
    assert video.inputs == {"taken": taken.replace(tzinfo=UTC)}


def test_a_listed_video_that_is_not_there_is_kept_to_fail_as_a_row(tmp_path: Path) -> None:
    [a] = put(str(tmp_path), "a.mp4")
    gone = str(tmp_path / "gone.mp4")
    videos = {video.uri: video.version for video in find((a, gone))}
    assert videos[gone] == ABSENT
    assert videos[a] != ABSENT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,camera\na.mp4,1\n", "has no column `uri`; it has 'path', 'camera'"),
        ("uri,camera\n,1\n", "has no uri in row 1"),
        ("uri\na.mp4\na.mp4\n", "twice"),
        ("", "cannot be read as csv"),
    ],
)
def test_a_wrong_manifest_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        find_videos(InputConfig(videos=str(tmp_path / "list.csv")))


def test_an_input_that_names_nothing_stops_before_any_work(tmp_path: Path, s3_bucket: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="names no objects"):
        find_videos(InputConfig(videos=str(tmp_path / "empty")))
    with pytest.raises(InputError, match="names no objects"):
        find_videos(InputConfig(videos=f"{s3_bucket}/nothing-here/*.mp4"))
    with pytest.raises(ObjectNotFound):
        find_videos(InputConfig(videos=str(tmp_path / "missing")))


@pytest.mark.parametrize("name", ["", "/", "/videos/", "/**/*.mp4", "/a.mp4"])
def test_a_missing_bucket_stops_before_any_work(s3_endpoint: str, name: str) -> None:
    with pytest.raises(ObjectNotFound, match="no-such-bucket"):
        find_videos(InputConfig(videos=f"s3://no-such-bucket{name}"))
    with pytest.raises(ObjectNotFound, match="no-such-bucket"):
        find_videos(InputConfig(videos=("s3://no-such-bucket/a.mp4",)))
