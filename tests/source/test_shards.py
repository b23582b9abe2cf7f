"""Shards as input: named in any way, indexed once per version, their members read straight out of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import ABSENT, to_videos
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.store import ObjectInfo, Store, join
from framegate.pipelines.store.pinned import PinnedObject
from framegate.schemas.clip import Video
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import InputError, StorageError, VersionChanged

FILES = {"a.json": b'{"x": 1}', "a.mp4": b"a" * 3000, "d/b.mp4": b"b" * 10, "c.cls": b"1"}


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "videos")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


@pytest.fixture
def shard_bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read of an object by range gave."""
    sizes: list[int] = []
    plain_read = PinnedObject.read

    def read(self: PinnedObject, start: int, end: int) -> bytes:
        sizes.append(end - start)
        return plain_read(self, start, end)

    monkeypatch.setattr(PinnedObject, "read", read)
    return sizes


def make_tar(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def put(uri: str, data: bytes) -> str:
    Store().delete([uri])
    Store().put_once(uri, data)
    return uri


def put_shard(uri: str, **files: bytes) -> str:
    return put(uri, make_tar({name.replace("_", "."): data for name, data in files.items()} or FILES))


def find(videos: str | list[str] | tuple[str, ...], indexes: ShardIndexCache | None = None) -> list[Video]:
    return list(to_videos(find_videos(InputConfig(videos=videos), indexes)))  # type: ignore[arg-type]


def content(video: Video) -> bytes:
    with Store().open_pinned(video) as pinned:
        return pinned.read(0, pinned.size_bytes)


def test_members_are_videos_that_are_read_straight_out_of_the_shard(root: str) -> None:
    uri = put_shard(join(root, "x.tar"))
    a, b = find(uri)
    assert (a.uri, b.uri) == (f"{a.object_uri}#a.mp4", f"{b.object_uri}#d/b.mp4")
    assert a.object_uri == b.object_uri == Store().stat(uri).uri
    assert a.version == Store().stat(uri).version
    assert a.video_id != b.video_id
    assert (a.inputs, b.inputs) == ({"json": '{"x": 1}'}, {})
    assert (content(a), content(b)) == (FILES["a.mp4"], FILES["d/b.mp4"])


def test_a_shard_that_is_replaced_between_plan_and_read_is_not_read(root: str) -> None:
    uri = put_shard(join(root, "x.tar"))
    a, _ = find(uri)
    put_shard(uri, a_mp4=b"another")
    with pytest.raises(VersionChanged):
        content(a)
    [again] = find(uri)
    assert again.uri == a.uri
    assert again.video_id != a.video_id
    assert content(again) == b"another"


def test_a_video_in_a_shard_opens_without_being_fetched_whole(
    s3_root: str, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.mp4").read_bytes()
    put(join(s3_root, "x.tar"), make_tar({"before.bin": bytes(300_000), "film.mp4": film, "after.bin": bytes(300_000)}))
    [video] = find(join(s3_root, "x.tar#film.mp4"))
    with Store().open_pinned(video) as pinned, RangeFile(pinned.read, pinned.size_bytes) as file:
        with open_reader("pyav", file) as reader:
            assert (reader.header.container, reader.header.display_width) == ("iso_bmff", 64)
        assert 0 < pinned.bytes_read <= len(film)


def test_shards_are_found_by_prefix_glob_list_braces_and_manifest(root: str) -> None:
    for n in range(8, 11):
        put_shard(join(root, f"shard-{n:02d}.tar"), a_mp4=b"a")
    videos = [video.uri for video in find(root)]
    assert [uri.rsplit("/", 1)[-1] for uri in videos] == [f"shard-{n}.tar#a.mp4" for n in ("08", "09", "10")]
    assert content(find(root)[0]) == b"a"
    assert [video.uri for video in find(join(root, "*.tar"))] == videos
    assert [video.uri for video in find(join(root, "shard-{08..10}.tar"))] == videos
    assert [video.uri for video in find([join(root, "shard-{08,10}.tar"), join(root, "*9.tar")])] == videos
    put(join(root, "list.csv"), b"uri\nshard-08.tar\nshard-09.tar\nshard-10.tar\n")
    assert [video.uri for video in find(join(root, "list.csv"))] == videos


def test_one_member_can_be_named_and_a_manifests_columns_reach_members(root: str) -> None:
    uri = put_shard(join(root, "x.tar"))
    put_shard(join(root, "y.tar"), c_mp4=b"c", d_mp4=b"d")
    [b] = find(f"{uri}#d/b.mp4")
    assert content(b) == FILES["d/b.mp4"]
    assert [video.uri for video in find([f"{uri}#./d/b.mp4"])] == [b.uri]
    put(join(root, "list.jsonl"), b'{"uri": "x.tar#a.mp4", "camera": 1}\n{"uri": "y.tar", "camera": 2}\n')
    found = find(join(root, "list.jsonl"))
    assert [(video.uri.rsplit("/", 1)[-1], video.inputs) for video in found] == [
        ("x.tar#a.mp4", {"camera": 1, "json": '{"x": 1}'}),
        ("y.tar#c.mp4", {"camera": 2}),
        ("y.tar#d.mp4", {"camera": 2}),
    ]


def test_what_is_not_there_is_kept_to_fail_as_a_row(tmp_path: Path) -> None:
    uri = put_shard(str(tmp_path / "x.tar"))
    gone = str(tmp_path / "gone-{0..1}.tar")
    found = {video.uri: video for video in find([uri, gone, f"{uri}#no.mp4", str(tmp_path / "gone-2.tar#a.mp4")])}
    names = (uri + "#no.mp4", *(str(tmp_path / name) for name in ("gone-0.tar", "gone-1.tar", "gone-2.tar#a.mp4")))
    assert {found[name].version for name in names} == {ABSENT}
    assert [refusal and refusal.reason for refusal in (found[name].refusal for name in names)] == ["not_found"] * 4
    assert len(found) == 2 + 4


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.zst"])
def test_a_compressed_archive_is_refused(tmp_path: Path, name: str) -> None:
    [video] = find(put(str(tmp_path / name), b"\x1f\x8b\x08" + bytes(1000)))
    assert video.refusal is not None
    assert video.refusal.reason == "not_video"
    assert "compressed" in video.refusal.message


def test_a_shard_that_breaks_off_is_a_row_beside_its_members(tmp_path: Path) -> None:
    uri = put(str(tmp_path / "x.tar"), make_tar({"a.mp4": b"a"})[:1024] + b"\xff" * 512)
    assert [(video.uri, video.refusal and video.refusal.reason) for video in find(uri)] == [
        (uri, "truncated"),
        (f"{uri}#a.mp4", None),
    ]
    assert find(f"{uri}#a.mp4")[0].refusal is None
    refusal = find(f"{uri}#b.mp4")[0].refusal
    assert refusal is not None
    assert refusal.reason == "truncated"


def test_a_column_and_a_side_file_of_one_name_are_refused_before_any_work(tmp_path: Path) -> None:
    put_shard(str(tmp_path / "x.tar"))
    put(str(tmp_path / "list.csv"), b"uri,json\nx.tar,1\n")
    with pytest.raises(InputError, match="column `json`"):
        find(str(tmp_path / "list.csv"))


def test_an_index_is_kept_and_no_header_is_read_again(root: str, shard_bytes_read: list[int]) -> None:
    uri = put_shard(join(root, "in", "x.tar"))
    indexes = ShardIndexCache(store=Store(), root=join(root, "out"))
    first = find(uri, indexes)
    indexes.keep()
    assert len(shard_bytes_read) == 1
    assert indexes.num_ignored == {Store().stat(uri).uri: {"cls": 1}}
    again = ShardIndexCache(store=Store(), root=join(root, "out"))
    assert find(uri, again) == first
    assert again.num_ignored == indexes.num_ignored
    assert len(shard_bytes_read) == 1
    again.keep()
    assert len(list(Store().list(join(root, "out/indexes")))) == 1
    put_shard(uri, a_mp4=b"another")
    assert find(uri, again) != first
    assert len(shard_bytes_read) == 2
    again.keep()
    assert len(list(Store().list(join(root, "out/indexes")))) == 2


def test_indexes_are_stored_when_they_are_to_be_kept_and_not_before(
    tmp_path: Path, shard_bytes_read: list[int]
) -> None:
    uri = put_shard(str(tmp_path / "x.tar"))
    looking = ShardIndexCache(store=Store(), root=str(tmp_path / "out"))
    videos = find(uri, looking)
    assert not (tmp_path / "out").exists()
    num_reads = len(shard_bytes_read)
    assert find(uri, looking) == videos
    looking.keep()
    assert find(uri, ShardIndexCache(store=Store(), root=str(tmp_path / "out"))) == videos
    assert len(shard_bytes_read) == num_reads


def test_a_kept_index_says_all_that_the_shard_does(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link.mp4")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    uri = put(
        str(tmp_path / "x.tar"),
        link.tobuf() + make_tar({"a.mp4": b"a", "a.txt": b"t", "a.jpg": b"j"})[:3072] + b"\xff" * 512,
    )
    indexes = ShardIndexCache(store=Store(), root=str(tmp_path / "out"))
    fresh = find(uri)
    assert {video.refusal and video.refusal.reason for video in fresh} == {None, "unsafe_member", "truncated"}
    assert find(uri, indexes) == fresh
    indexes.keep()
    assert find(uri, ShardIndexCache(store=Store(), root=str(tmp_path / "out"))) == fresh


def test_an_index_that_is_none_is_said_in_one_sentence(tmp_path: Path) -> None:
    uri = put_shard(str(tmp_path / "x.tar"))
    indexes = ShardIndexCache(store=Store(), root=str(tmp_path / "out"))
    put(indexes.uri(Store().stat(uri)), b"something else")
    with pytest.raises(StorageError, match=r"is no index of a shard .* delete it"):
        find(uri, indexes)


def test_a_shard_that_is_replaced_while_it_is_indexed_is_indexed_as_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put_shard(str(tmp_path / "x.tar"))
    plain_open, num_left = Store.open_pinned, [1]

    def open_late(store: Store, video: Video) -> PinnedObject:
        if num_left[0]:
            num_left[0] -= 1
            put_shard(uri, a_mp4=b"n" * (100 + num_left[0]))
        return plain_open(store, video)

    monkeypatch.setattr(Store, "open_pinned", open_late)
    [video] = find(uri)
    assert video.version == Store().stat(uri).version
    assert content(video) == b"n" * 100

    num_left[0] = 10
    [restless] = find(uri)
    assert restless.version == ABSENT  # so that it is another video as soon as it is at rest
    assert restless.refusal is not None
    assert restless.refusal.reason == "source_changed"


def test_an_output_that_cannot_be_written_is_no_fault_of_the_shard(tmp_path: Path) -> None:
    uri = put_shard(str(tmp_path / "x.tar"))
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(StorageError, match="out"):
        find(uri, ShardIndexCache(store=Store(), root=str(tmp_path / "out")))


def test_the_name_of_an_index_stands_for_shard_and_version() -> None:
    indexes = ShardIndexCache(store=Store(), root="out")
    shards = [ObjectInfo(uri=uri, version=version, size_bytes=1) for uri in ("a", "b") for version in ("1", "2")]
    assert len({indexes.uri(shard) for shard in shards}) == 4
