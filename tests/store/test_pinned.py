"""Pinned reads: the bytes of the version that was planned, or an error; on every kind of storage."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.store import Store, join
from framegate.pipelines.store.pinned import PinnedObject
from framegate.schemas.clip import Member, Video
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged

DATA = bytes(range(256)) * 40


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "root")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


def put(uri: str, data: bytes) -> Video:
    """Creates the object or replaces it, and gives it as it is planned."""
    Store().delete([uri])
    Store().put_once(uri, data)
    info = Store().stat(uri)
    return Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes)


def member(video: Video, start: int, size_bytes: int) -> Video:
    name = "a/b.mp4"
    return Video(
        uri=f"{video.uri}#{name}",
        version=video.version,
        size_bytes=size_bytes,
        member=Member(name=name, offset_bytes=start),
    )


def test_ranges_of_an_object_are_read_and_counted(root: str) -> None:
    with Store().open_pinned(put(join(root, "v.mp4"), DATA)) as pinned:
        assert pinned.size_bytes == len(DATA)
        assert pinned.read(0, len(DATA)) == DATA
        assert pinned.read(300, 301) == DATA[300:301]
        assert pinned.read(7, 7) == b""
        assert pinned.bytes_read == len(DATA) + 1


def test_a_member_is_a_stretch_of_its_object_and_no_more(root: str) -> None:
    video = put(join(root, "shard.tar"), DATA)
    with Store().open_pinned(member(video, 512, 1000)) as pinned:
        assert pinned.size_bytes == 1000
        assert pinned.read(0, 1000) == DATA[512:1512]
        assert pinned.read(990, 1000) == DATA[1502:1512]
        for start, end in ((0, 1001), (-1, 5), (5, 4)):
            with pytest.raises(ValueError, match="not within the 1000 bytes"):
                pinned.read(start, end)


def test_an_object_that_was_replaced_before_is_not_read(root: str) -> None:
    uri = join(root, "v.mp4")
    before = put(uri, DATA)
    put(uri, DATA[::-1])
    with pytest.raises(VersionChanged, match=r"v\.mp4 has changed"), Store().open_pinned(before) as pinned:
        pinned.read(0, 10)


def test_an_object_that_is_written_over_while_it_is_open_is_never_a_mix(root: str) -> None:
    uri = join(root, "v.mp4")
    with Store().open_pinned(put(uri, DATA)) as pinned:
        assert pinned.read(0, 10) == DATA[:10]
        if "://" in root:
            put(uri, DATA[::-1])
        else:
            Path(uri).write_bytes(DATA[::-1])  # in place: another inode would still be whole
        with pytest.raises(VersionChanged):
            pinned.read(10, 20)


def test_a_local_file_that_is_renamed_away_stays_whole_while_it_is_open(tmp_path: Path) -> None:
    uri = str(tmp_path / "v.mp4")
    with Store().open_pinned(put(uri, DATA)) as pinned:
        (tmp_path / "new").write_bytes(DATA[::-1])
        os.replace(tmp_path / "new", uri)
        assert pinned.read(10, 20) == DATA[10:20]


def test_what_is_not_there_is_not_found(root: str) -> None:
    for size_bytes in (0, 10):
        gone = Video(uri=join(root, "gone.mp4"), version="absent", size_bytes=size_bytes)
        with pytest.raises(ObjectNotFound, match=r"gone\.mp4"), Store().open_pinned(gone) as pinned:
            pinned.read(0, 10)


def test_what_was_empty_and_no_longer_is_has_changed(root: str) -> None:
    uri = join(root, "v.mp4")
    empty = put(uri, b"")
    Store().open_pinned(empty).close()
    put(uri, DATA)
    with pytest.raises(VersionChanged):
        Store().open_pinned(empty)


def test_a_stretch_that_reaches_beyond_the_object_is_an_error(root: str) -> None:
    video = put(join(root, "shard.tar"), DATA)
    with Store().open_pinned(member(video, len(DATA) - 5, 10)) as pinned, pytest.raises(StorageError, match="5 of 10"):
        pinned.read(0, 10)


def test_closing_frees_the_descriptor(tmp_path: Path) -> None:
    video = put(str(tmp_path / "v.mp4"), DATA)
    num_open = len(os.listdir("/proc/self/fd"))
    pinned = Store().open_pinned(video)
    pinned.close()
    pinned.close()
    with pytest.raises(StorageError):
        pinned.read(0, 1)
    put(video.uri, DATA[1:])
    with pytest.raises(VersionChanged):
        Store().open_pinned(video)
    assert len(os.listdir("/proc/self/fd")) == num_open


@settings(max_examples=50)
@given(st.data())
def test_any_range_of_any_stretch_is_that_range(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    video = put(str(tmp_path_factory.mktemp("pinned") / "v.tar"), DATA)
    first, last = sorted(data.draw(st.tuples(st.integers(0, len(DATA)), st.integers(0, len(DATA)))))
    start, end = sorted(data.draw(st.tuples(st.integers(0, last - first), st.integers(0, last - first))))
    with Store().open_pinned(member(video, first, last - first)) as pinned:
        assert pinned.read(start, end) == DATA[first:last][start:end]


@pytest.fixture
def broken_line(s3_endpoint: str) -> Iterator[Callable[[int], str]]:
    """`broken_line(n)`: the endpoint of a way to the S3 server that is cut within the first `n` long answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        cuts_left = [0]

        def carry(source: socket.socket, target: socket.socket, *, is_answer: bool) -> None:
            num_bytes = 0
            try:
                while part := source.recv(1 << 16):
                    num_bytes += len(part)
                    if is_answer and num_bytes > 2000 and cuts_left[0] > 0:
                        cuts_left[0] -= 1
                        part = part[:-1000]
                        target.sendall(part)
                        break
                    target.sendall(part)
            except OSError:
                pass  # the other direction has closed both
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def serve_one(client: socket.socket) -> None:
            parts = urlsplit(s3_endpoint)
            with client, socket.create_connection((parts.hostname, parts.port)) as upstream:
                back = threading.Thread(target=carry, args=(upstream, client), kwargs={"is_answer": True})
                back.start()
                carry(client, upstream, is_answer=False)
                back.join()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve_one, args=(client,), daemon=True).start()

        def begin(num_cuts: int) -> str:
            cuts_left[0] = num_cuts
            return f"http://127.0.0.1:{server.getsockname()[1]}"

        thread = threading.Thread(target=serve)
        thread.start()
        yield begin
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def open_over(endpoint: str, video: Video) -> PinnedObject:
    return Store({"endpoint_url": endpoint, "skip_instance_cache": True}, patience_seconds=2).open_pinned(video)


def test_an_answer_that_breaks_off_is_asked_for_again(s3_root: str, broken_line: Callable[[int], str]) -> None:
    video = put(join(s3_root, "v.mp4"), DATA)
    with open_over(broken_line(2), video) as pinned:
        assert pinned.read(0, len(DATA)) == DATA
        assert pinned.bytes_read == len(DATA)


def test_a_line_that_stays_broken_is_said_in_one_sentence(s3_root: str, broken_line: Callable[[int], str]) -> None:
    video = put(join(s3_root, "v.mp4"), DATA)
    with open_over(broken_line(1000), video) as pinned, pytest.raises(StorageError, match=r"cannot read s3://.*v\.mp4"):
        pinned.read(0, len(DATA))
