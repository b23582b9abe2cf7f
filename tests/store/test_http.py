"""Objects of web servers: read by ranges at one version, and the query of a URL stays between us and the server."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import pytest

from framegate.pipelines.store import Store
from framegate.pipelines.store import http as web
from framegate.schemas.clip import Video
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged
from tests.web_server import WebServer

DATA = bytes(range(256)) * 40
SECRET = "X-Amz-Signature=5ec4e7%2Bto%2Fken&X-Amz-Expires=3600"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer({"/a.mp4": DATA}) as running:
        yield running


def video(store: Store, uri: str) -> Video:
    info = store.stat(uri)
    return Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes, access=info.access)


def test_a_signed_url_is_read_by_ranges_and_known_without_its_query(server: WebServer) -> None:
    server.signature = SECRET
    uri = f"{server.root}/a.mp4?{SECRET}"
    info = Store().stat(uri)
    assert (info.uri, info.size_bytes, info.access) == (f"{server.root}/a.mp4", len(DATA), SECRET)
    assert SECRET not in repr(info)
    read = video(Store(), uri)
    assert SECRET not in repr(read)
    with Store().open_pinned(read) as pinned:
        assert pinned.read(100, 356) == DATA[100:356]
        assert pinned.bytes_read == 256
    assert {method for method, _, _ in server.requests} == {"GET"}  # a signature is for one method
    assert {target for _, target, _ in server.requests} == {f"/a.mp4?{SECRET}"}  # as it was given, byte by byte
    assert server.requests[-1][2] == "bytes=100-355"


def test_the_version_is_the_same_whatever_the_signature(server: WebServer) -> None:
    first, second = (video(Store(), f"{server.root}/a.mp4?sig={n}") for n in "12")
    assert first.video_id == second.video_id
    server.has_etags = False
    by_time = video(Store(), f"{server.root}/a.mp4")
    assert by_time.version == f"{len(DATA)}-1795230000"


def test_a_weak_tag_and_a_redirect_are_what_they_name(server: WebServer) -> None:
    server.etag = lambda data: 'W/"abc"'
    server.redirects["/moved.mp4"] = f"{server.root}/a.mp4?token=secret"
    info = Store().stat(f"{server.root}/moved.mp4")
    assert (info.uri, info.version) == (f"{server.root}/moved.mp4", "abc")


def test_another_version_is_seen_and_never_mixed(server: WebServer) -> None:
    for has_etags in (True, False):
        server.has_etags, server.files["/a.mp4"] = has_etags, DATA
        with Store().open_pinned(video(Store(), f"{server.root}/a.mp4")) as pinned:
            assert pinned.read(0, 10) == DATA[:10]
            server.files["/a.mp4"] = b"other" + DATA
            with pytest.raises(VersionChanged):
                pinned.read(10, 20)


@pytest.mark.parametrize("has_lengths", [True, False])
def test_a_server_without_ranges_is_read_whole_once(server: WebServer, has_lengths: bool) -> None:
    server.has_ranges, server.has_lengths = False, has_lengths
    with Store().open_pinned(video(Store(), f"{server.root}/a.mp4")) as pinned:
        before = len(server.requests)
        assert [pinned.read(n, n + 100) for n in (0, 500, 200)] == [DATA[n : n + 100] for n in (0, 500, 200)]
        assert len(server.requests) == before + 1


@pytest.mark.parametrize("has_lengths", [True, False])
def test_one_that_is_too_long_for_that_is_refused(
    server: WebServer, has_lengths: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.has_ranges, server.has_lengths = False, has_lengths
    monkeypatch.setattr(web, "WHOLE_BYTES", 1 << 10)
    with pytest.raises(StorageError, match="the server gives no ranges"):
        Store().stat(f"{server.root}/a.mp4")


@pytest.mark.parametrize(
    "name", ["/a b.mp4", "/ü日本.mp4", "/100%.mp4", "/clip [abc].mp4", "/a+b&c=d.mp4", "/a{1,2}.mp4"]
)
def test_names_are_encoded_once(server: WebServer, name: str) -> None:
    server.files[name] = b"odd"
    assert Store().read(f"{server.root}{name}") == b"odd"
    server.files["/x y.mp4"] = b"even"
    assert Store().read(f"{server.root}/x%20y.mp4") == b"even"


def test_an_empty_object_has_no_bytes(server: WebServer) -> None:
    server.files["/empty.mp4"] = b""
    assert Store().stat(f"{server.root}/empty.mp4").size_bytes == 0
    assert Store().read(f"{server.root}/empty.mp4") == b""


def test_a_busy_server_is_asked_again_and_a_body_that_breaks_off_too(server: WebServer) -> None:
    server.statuses = [503, 429]
    assert Store().read(f"{server.root}/a.mp4", 0, 5) == DATA[:5]
    server.cut_bytes = 3
    with pytest.raises(StorageError, match=r"tried \d+ times"):
        Store(patience_seconds=1).read(f"{server.root}/a.mp4", 0, 5)


@pytest.mark.parametrize(
    ("path", "kind", "sentence"),
    [
        ("/nothing.mp4", ObjectNotFound, "does not exist"),
        ("/a.mp4", StorageError, "403 Forbidden; where the URL is signed, the signature may have expired"),
    ],
)
def test_errors_say_what_happened_and_hold_no_query(
    server: WebServer, path: str, kind: type[Exception], sentence: str
) -> None:
    if kind is StorageError:
        server.signature = "another"
    with pytest.raises(kind, match=sentence) as raised:
        Store().stat(f"{server.root}{path}?{SECRET}")
    assert_silent(raised.value)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/a.mp4", "http://nowhere.invalid/a.mp4", "http://[::1/a.mp4", "http:///a"]
)
def test_addresses_that_lead_nowhere_hold_no_query_in_their_errors(uri: str) -> None:
    with pytest.raises(StorageError) as raised:
        Store(patience_seconds=0.2).stat(f"{uri}?{SECRET}")
    assert_silent(raised.value)


def test_a_circle_of_redirects_ends_and_holds_no_query(server: WebServer) -> None:
    server.redirects["/a.mp4"] = f"{server.root}/a.mp4?{SECRET}"
    with pytest.raises(StorageError, match="sends on more than 5 times") as raised:
        Store().stat(f"{server.root}/a.mp4?{SECRET}")
    assert_silent(raised.value)


def assert_silent(error: BaseException) -> None:
    """Neither the error, nor its causes, nor its traceback has the query."""
    text = "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        text += repr(seen) + repr(seen.__context__)
        seen = seen.__cause__ or seen.__context__
    for word in ("5ec4e7", "to/ken", "X-Amz-Signature", SECRET):
        assert word not in text


def test_nothing_is_listed_or_written(server: WebServer) -> None:
    with pytest.raises(StorageError, match="http knows no listing; name each video, in a list or a manifest"):
        list(Store().list(f"{server.root}/"))
    with pytest.raises(StorageError, match="cannot be written to"):
        Store().put_once(f"{server.root}/b.mp4?{SECRET}", b"x")
    with pytest.raises(StorageError, match="name a folder or a bucket to write to"):
        Store().check_writable(f"{server.root}/index?{SECRET}")


@pytest.mark.parametrize(("protocol", "extra"), [("gs", "gs"), ("gcs", "gs"), ("az", "az"), ("abfs", "az")])
def test_a_package_that_is_missing_is_named_with_its_extra(protocol: str, extra: str) -> None:
    with pytest.raises(StorageError, match=rf"{protocol}:// needs a package .* pip install 'framegate\[{extra}\]'"):
        Store().stat(f"{protocol}://bucket/a.mp4")


def test_a_kind_of_storage_that_nobody_knows_is_said() -> None:
    with pytest.raises(StorageError, match="s4:// is no kind of storage that is known; give a local path, s3://"):
        Store().stat("s4://bucket/a.mp4")


def test_a_host_in_the_name_is_the_one_that_is_asked() -> None:
    fs, path = Store().filesystem("webhdfs://some-host:1234/folder/cam::1.mp4")
    assert (fs.storage_options["host"], fs.storage_options["port"]) == ("some-host", 1234)
    assert path == "/folder/cam::1.mp4"
