"""A name is looked up before it is taken for a pattern, and one of a list that leads to nothing is a row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from framegate.pipelines.source import names as names_module
from framegate.pipelines.source.find import find_input, find_videos
from framegate.pipelines.source.found import ABSENT, UNREADABLE, to_videos
from framegate.pipelines.store import Store, join
from framegate.pipelines.store.errors import RetriesExhausted
from framegate.schemas.clip import Video
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import InputError, StorageError
from tests.web_server import WebServer

ODD = [
    "clip [abc123].mp4", "[a].mp4", "a{1,2}.mp4", "x{0..3}.mp4", "cam::1.mp4", "what?.mp4", "?versionId=1.mp4", "*.mp4",
    "100%.mp4", "50%41.mp4", "a#b.mp4", "#.mp4", "a+b.mp4", "a b  c.mp4", "ü日本.mp4", "u\u0308.mp4", "x.tar#y.mp4",
    "~tilde.mp4", "a&b=c;d.mp4", "quote'\".mp4", "list [v2].txt", "dir [x]/in {1,2}.mp4", "-rf.mp4",
]  # fmt: skip


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "videos")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


def put(root: str, *names: str) -> list[str]:
    for name in names:
        Store().put_once(join(root, name), name.encode())
    return [join(root, name) for name in names]


def find(videos: str | tuple[str, ...]) -> list[Video]:
    return list(to_videos(find_videos(InputConfig(videos=videos))))


def uris(videos: str | tuple[str, ...]) -> list[str]:
    return [plain(video.uri) for video in find(videos)]


def plain(uri: str) -> str:
    """fsspec's storage in memory gives `memory:///a` for `memory://a`."""
    return uri.replace("memory:///", "memory://")


def test_every_name_is_found_by_itself_in_a_list_in_a_manifest_and_in_its_folder(root: str) -> None:
    names = put(root, *ODD)
    manifest = f"{root}-list.csv"
    quoted = ('"' + name.replace('"', '""') + '"' for name in names)
    Store().put_once(manifest, "\n".join(["uri", *quoted]).encode())
    assert uris(root) == uris(tuple(names)) == uris(manifest) == uris((f"{root}/",)) == sorted(names)
    for name in names:
        assert uris(name) == [name]
        [video] = find(name)
        with Store().open_pinned(video) as pinned:
            assert pinned.read(0, video.size_bytes) == name[len(root) + 1 :].encode()
    assert uris(join(root, "dir [x]")) == [join(root, "dir [x]/in {1,2}.mp4")]
    assert uris((join(root, "dir [x]/"),)) == [join(root, "dir [x]/in {1,2}.mp4")]


def test_a_pattern_stays_one_where_nothing_has_its_name(root: str) -> None:
    put(root, "clip a.mp4", "clip b.mp4", "clip [ab].txt", "x1.mp4", "x2.mp4", "d1/f.mp4", "d2/f.mp4")
    assert [uri.split("/")[-1] for uri in uris(join(root, "clip [ab].mp4"))] == ["clip a.mp4", "clip b.mp4"]
    assert [uri.split("/")[-1] for uri in uris((join(root, "x{1..2}.mp4"),))] == ["x1.mp4", "x2.mp4"]
    assert len(uris((join(root, "d{1,2}/"),))) == 2
    assert len(uris((join(root, "{x,clip }[12a]*"),))) == 3
    assert uris(join(root, "clip [ab].txt")) == [join(root, "clip [ab].txt")]


def test_a_name_of_a_list_that_leads_to_nothing_is_a_row(root: str) -> None:
    [there] = put(root, "there.mp4")
    names = "gone.mp4 gone-[1].mp4 gone*.mp4 gone/ gone-[1]/ gone#1.mp4 x.tar#gone.mp4 there.mp4/x"
    wanted = [join(root, name) for name in names.split()]
    found = {plain(video.uri): video for video in find((there, *wanted, join(root, "{a,b}.mp4")))}
    assert set(found) == {there, *wanted, join(root, "a.mp4"), join(root, "b.mp4")}
    for uri, video in found.items():
        assert (video.refusal is None) == (uri == there), uri
        assert video.refusal is None or (video.refusal.reason, video.version) == ("not_found", ABSENT)


def test_slashes_are_one_on_a_disk(tmp_path: Path) -> None:
    [name] = put(str(tmp_path), "a/b.mp4")
    for odd in (f"{tmp_path}//a///b.mp4", f"file://{tmp_path}/a/b.mp4", f"file://{tmp_path}//a//b.mp4"):
        assert uris(odd) == uris((odd, name)) == [name]


def test_a_member_that_a_shard_does_not_have_may_be_an_object(tmp_path: Path) -> None:
    [odd] = put(str(tmp_path), "x.tar#y.mp4")
    assert uris(odd) == uris((odd,)) == [odd]
    (tmp_path / "list.jsonl").write_text(f'{{"uri": "{odd}"}}\n')
    assert uris(str(tmp_path / "list.jsonl")) == [odd]


def test_a_manifest_may_have_an_odd_name(tmp_path: Path) -> None:
    [video] = put(str(tmp_path), "a.mp4")
    for name in ("list [v2].csv", "list {1,2}.csv", "list?.csv"):
        (tmp_path / name).write_text("uri,camera\na.mp4,north\n")
        assert [(found.uri, found.inputs) for found in find(str(tmp_path / name))] == [(video, {"camera": "north"})]


def test_what_storage_does_not_let_us_look_at_is_a_row_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, closed = put(str(tmp_path), "a.mp4", "closed.mp4")
    stat = Store.stat

    def refuse(store: Store, uri: str) -> object:
        if uri == closed:
            raise StorageError(f"cannot read {uri}: permission denied")
        return stat(store, uri)

    monkeypatch.setattr(names_module.Store, "stat", refuse)
    found = {video.uri: video for video in find((there, closed, f"{tmp_path}/a\0b"))}
    assert found[there].refusal is None
    for uri in (closed, f"{tmp_path}/a\0b"):
        assert (found[uri].version, found[uri].refusal and found[uri].refusal.reason) == (UNREADABLE, "storage")


def test_a_password_inside_a_name_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("uri\ns3://key:s3cret@bucket/a.mp4\n")
    for videos in ("https://user:s3cret@host/a.mp4", ("ftp://user:s3cret@host/a.mp4",)):
        with pytest.raises(InputError, match="password") as raised:
            find(videos)
        assert "s3cret" not in str(raised.value)
    [row] = find(str(tmp_path / "list.csv"))
    assert (row.uri, row.refusal and row.refusal.reason) == ("s3://***@bucket/a.mp4", "secret_in_uri")


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer({"/a.mp4": b"a", "/b [1].mp4": b"bb", "/list.csv": b"uri,camera\na.mp4,north\n"}) as running:
        yield running


def test_signed_urls_are_rows_without_their_queries(server: WebServer, tmp_path: Path) -> None:
    server.signature = "X-Amz-Signature=s3cret"
    names = [f"{server.root}{path}" for path in ("/a.mp4", "/b [1].mp4", "/gone.mp4")]
    signed = [f"{name}?{server.signature}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["uri", *signed]))
    for videos in (tuple(signed), str(tmp_path / "list.csv")):
        found = find_input(InputConfig(videos=videos, protocols=("file", "http")))
        assert found.videos.column("video_uri").to_pylist() == sorted(names)
        assert "s3cret" not in str(found.videos.drop_columns(["access"]).to_pylist())
        a, b, gone = to_videos(found.videos)
        assert (a.size_bytes, b.size_bytes, gone.version) == (1, 2, ABSENT)
        assert "s3cret" not in repr([a, b, gone])
        with Store().open_pinned(b) as pinned:
            assert pinned.read(0, 2) == b"bb"
    assert uris(signed[0]) == names[:1]
    [listed] = find(f"{server.root}/list.csv?{server.signature}")
    assert (listed.uri, listed.inputs) == (names[0], {"camera": "north"})


def test_an_expired_signature_is_the_row_of_its_video(server: WebServer) -> None:
    server.signature = "sig=new"
    good, old = find((f"{server.root}/a.mp4?sig=new", f"{server.root}/b%20[1].mp4?sig=s3cret"))
    assert good.refusal is None
    assert old.refusal is not None
    assert (old.version, old.refusal.reason) == (UNREADABLE, "storage")
    assert "403 Forbidden" in old.refusal.message
    assert "s3cret" not in old.refusal.message


def test_urls_that_differ_in_their_query_alone_are_refused(server: WebServer) -> None:
    with pytest.raises(InputError, match="known by its URL without the query") as raised:
        find((f"{server.root}/a.mp4?id=1", f"{server.root}/a.mp4?id=2"))
    assert "id=1" not in str(raised.value)


def test_a_shard_is_read_by_http(server: WebServer) -> None:
    from tests.source.tars import make_tar

    server.files["/s.tar"] = make_tar(("a.mp4", b"film"), ("a.json", b"{}"))
    server.signature = "sig=s3cret"
    for name in (f"{server.root}/s.tar?sig=s3cret", f"{server.root}/s.tar?sig=s3cret#a.mp4"):
        [member] = find((name,))
        assert (member.uri, member.inputs) == (f"{server.root}/s.tar#a.mp4", {"json": "{}"})
        with Store().open_pinned(member) as pinned:
            assert pinned.read(0, 4) == b"film"


def test_storage_that_is_away_ends_the_search_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(store: Store, uri: str) -> object:
        raise StorageError(f"cannot read {uri}: tried 9 times") from RetriesExhausted(9, 120)

    monkeypatch.setattr(names_module.Store, "stat", away)
    with pytest.raises(StorageError, match="tried 9 times"):
        find(tuple(f"{tmp_path}/{n}.mp4" for n in range(100)))


def test_a_web_server_that_is_away_is_not_waited_for_with_each_name(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "WEB_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(names_module, "STAT_THREADS", 4)
    began = time.monotonic()
    dead = [f"http://127.0.0.1:9/{n}.mp4" for n in range(400)]
    found = find((*dead, f"{server.root}/a.mp4"))
    assert time.monotonic() - began < 20
    reasons = [video.refusal and video.refusal.reason for video in found]
    assert sorted(reasons, key=str) == [None, *["storage"] * 400]
    assert any("did not answer for other names" in video.refusal.message for video in found if video.refusal)
