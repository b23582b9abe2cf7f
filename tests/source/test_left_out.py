"""What a folder holds beside videos: left out and counted, or one row that says why, and never the end of a run."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framegate.pipelines.plan import left_out
from framegate.pipelines.source.find import Found, find_input
from framegate.pipelines.source.found import UNREADABLE, to_videos
from framegate.pipelines.source.names import OwnPlace
from framegate.pipelines.store import Store, join
from framegate.pipelines.store import local_walk as walk
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import StorageError


def find(videos: str | tuple[str, ...], own: str | None = None, *, follow_links: bool = True) -> Found:
    place = None if own is None else OwnPlace(uri=own, holds=lambda uri: uri.endswith(".parquet"))
    return find_input(InputConfig(videos=videos, follow_links=follow_links), own=place)


def tell_left_out(found: Found) -> list[str]:
    return [*left_out.tell_left_out(found.listing), *left_out.tell_refused(found.videos)]


def names(found: Found, root: Path | str) -> list[str]:
    return [uri.removeprefix(f"{root}/") for uri in found.videos.column("video_uri").to_pylist()]


def write(folder: Path, *files: str) -> Path:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    return folder


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Folders and files that may not be looked at, also where tests are run by root."""

    def close(*paths: Path) -> None:
        shut = {str(path) for path in paths}

        def guarded(call: Callable[..., object]) -> Callable[..., object]:
            def ask(path: object, *args: object, **kwargs: object) -> object:
                if str(path).rstrip("/") in shut:
                    raise PermissionError(13, "Permission denied", str(path))
                return call(path, *args, **kwargs)

            return ask

        monkeypatch.setattr(walk.os, "scandir", guarded(os.scandir))
        monkeypatch.setattr(walk.os, "stat", guarded(os.stat))

    return close


def test_a_folder_that_may_not_be_read_is_one_row(tmp_path: Path, closed: Callable[..., None]) -> None:
    root = write(tmp_path, "a.mp4", "lost+found/x.mp4", "z/b.mp4", "z/c.mp4")
    closed(root / "lost+found", root / "z" / "c.mp4")
    for videos in (str(root), f"{root}/**/*.mp4", f"{root}/**", (f"{root}/",)):
        found = find(videos)
        rows = {video.uri.removeprefix(f"{root}/"): video for video in to_videos(found.videos)}
        assert set(rows) == {"a.mp4", "lost+found/", "z/b.mp4", "z/c.mp4"}
        for name in ("lost+found/", "z/c.mp4"):
            refusal = rows[name].refusal
            assert refusal is not None
            assert (rows[name].version, refusal.reason) == (UNREADABLE, "storage")
            assert "Permission denied" in refusal.message
    assert any("2 of the videos cannot be read, reason storage" in line for line in tell_left_out(found))
    assert names(find(f"{root}/*.mp4"), root) == ["a.mp4"]
    assert names(find(f"{root}/z/b*"), root) == ["z/b.mp4"]


def test_the_folder_itself_must_be_readable_unless_it_is_one_of_a_list(
    tmp_path: Path, closed: Callable[..., None]
) -> None:
    root = write(tmp_path, "open/a.mp4", "shut/b.mp4")
    closed(root / "shut")
    with pytest.raises(StorageError, match="permission denied"):
        find(f"{root}/shut/")
    assert names(find((f"{root}/shut/", f"{root}/open/")), root) == ["open/a.mp4", "shut/"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every folder")
def test_as_a_user_too(tmp_path: Path) -> None:
    root = write(tmp_path, "a.mp4", "shut/b.mp4")
    (root / "shut").chmod(0)
    try:
        assert names(find(str(root)), root) == ["a.mp4", "shut/"]
    finally:
        (root / "shut").chmod(0o700)


def test_linked_folders_are_listed_once_and_never_in_a_circle(tmp_path: Path) -> None:
    root = write(tmp_path / "videos", "a.mp4", "real/b.mp4")
    other = write(tmp_path / "other", "o.mp4", "deep/p.mp4")
    links = {
        "to-other": other, "twice": other, "to-deep": other / "deep", "inside": root / "real", "self": root,
        "up": tmp_path, "root": Path("/"), "gone": tmp_path / "nothing", "round": root / "round",
    }  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    (other / "back").symlink_to(root)
    (root / "file.mp4").symlink_to(other / "o.mp4")
    found = find(str(root))
    assert names(found, root) == ["a.mp4", "file.mp4", "real/b.mp4", "to-deep/p.mp4", "to-other/o.mp4"]
    assert (len(found.listing.links), found.listing.num_dangling) == (7, 2)
    told = tell_left_out(found)
    assert "left out: 7 linked folders, which lead to what is listed already or above it" in told
    assert "left out: 2 links to nothing" in told
    assert "followed: 2 linked folders (input.follow_links)" in told
    unfollowed = find(str(root), follow_links=False)
    assert names(unfollowed, root) == ["a.mp4", "file.mp4", "real/b.mp4"]
    assert "left out: 7 linked folders, which are not followed" in tell_left_out(unfollowed)
    linked = find(f"{root}/to-other/", follow_links=False)  # who names a link means its target
    assert names(linked, root) == ["to-other/deep/p.mp4", "to-other/o.mp4"]


def test_hidden_names_pipes_and_sockets_are_counted(tmp_path: Path) -> None:
    root = write(tmp_path, "a.mp4", ".hidden.mp4", ".cache/x.mp4", "d/._a.mp4")
    os.mkfifo(root / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)
        listener.bind("socket.mp4")
        found = find(str(root))
    assert names(found, root) == ["a.mp4"]
    told = tell_left_out(found)
    assert "left out: 3 names with a dot in front, folders among them" in told
    assert "left out: 2 pipes, sockets or devices" in told


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "videos")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


def test_an_output_below_the_input_is_no_input(storage: str) -> None:
    for name in ("a.mp4", "index/results/0.parquet", "index/odd.mp4", "index2/b.mp4", "z/c.mp4"):
        Store().put_once(join(storage, name), b"x")
    for videos in (storage, f"{storage}/", f"{storage}/**", f"{storage}/*/*", (f"{storage}/",)):
        found = find(videos, f"{storage}/index")
        shown = {uri.partition(storage.rpartition("/")[2])[2] for uri in found.videos.column("video_uri").to_pylist()}
        assert shown == {"/a.mp4", "/index2/b.mp4", "/z/c.mp4"} - ({"/a.mp4"} if videos == f"{storage}/*/*" else set())
        assert "left out: this job's own output, which lies below the input" in tell_left_out(found)
    named = find((f"{storage}/index/odd.mp4",), f"{storage}/index")
    assert named.videos.num_rows == 1  # who names it means it
    assert not tell_left_out(find(f"{storage}/z/", f"{storage}/index"))


def test_videos_may_lie_in_the_folder_of_the_output(tmp_path: Path) -> None:
    root = write(tmp_path, "a.mp4", "results/0.parquet", "videos/b.mp4")
    for videos, wanted in ((str(root), ["a.mp4", "videos/b.mp4"]), (f"{root}/videos/", ["videos/b.mp4"])):
        assert names(find(videos, str(root)), root) == wanted


def test_an_output_behind_a_link_is_no_input(tmp_path: Path) -> None:
    root = write(tmp_path / "videos", "a.mp4", "real/index/0.parquet")
    (root / "index").symlink_to(tmp_path / "index")
    write(tmp_path / "index", "0.parquet")
    assert names(find(str(root), f"{root}/index"), root) == ["a.mp4", "real/index/0.parquet"]
    (tmp_path / "alias").symlink_to(root / "real")
    assert names(find(str(root), f"{tmp_path}/alias/index"), root) == ["a.mp4", "index/0.parquet"]


@pytest.fixture(autouse=True)
def stay_here() -> Iterator[None]:
    here = os.getcwd()
    yield
    os.chdir(here)
