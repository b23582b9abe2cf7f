"""Replacing takes the place of one version and no other; where a server knows no conditions, the user's word does."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from framegate.pipelines.lab.bench.s3_proxy import Answer, Request
from framegate.pipelines.store import Put, Store, join
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged
from framegate.schemas.uris import KINDS
from tests import s3_faults as faults
from tests.s3_faults import S3Faults


def test_a_version_is_replaced_once(root: str) -> None:
    store, uri = Store(), join(root, "a.bin")
    store.put_once(uri, b"one")
    first = store.stat(uri)
    second = store.replace(uri, b"two!", if_match=first.version)
    assert second == store.stat(uri)
    assert store.read(uri) == b"two!"
    with pytest.raises(VersionChanged, match=r"a\.bin has changed"):
        store.replace(uri, b"three", if_match=first.version)
    assert store.read(uri) == b"two!"


def test_another_writers_same_bytes_are_another_version(root: str) -> None:
    store, uri = Store(), join(root, "a.bin")
    store.put_once(uri, b"one")
    first = store.stat(uri)
    store.replace(uri, b"two", if_match=first.version)
    with pytest.raises(VersionChanged):
        store.replace(uri, b"two", if_match=first.version)


def test_what_is_gone_is_not_brought_back(root: str) -> None:
    store, uri = Store(), join(root, "a.bin")
    store.put_once(uri, b"one")
    version = store.stat(uri).version
    store.delete([uri])
    with pytest.raises(ObjectNotFound, match=r"cannot replace \S*a\.bin"):
        store.replace(uri, b"two", if_match=version)
    assert list(store.list(root)) == []


def test_of_many_replacers_at_once_none_is_lost(root: str) -> None:
    """Each adds one to a number, again and again until nobody was faster."""
    store, uri = Store(), join(root, "number")
    store.put_once(uri, b"0")

    def add(_: int) -> None:
        while True:
            info = store.stat(uri)
            try:
                with store.open_read(uri) as file:
                    number = int(file.read())
                store.replace(uri, b"%d" % (number + 1), if_match=info.version)
                return
            except (VersionChanged, OSError):
                continue

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(20)))
    assert store.read(uri) == b"20"


def test_a_reader_meets_the_old_or_the_new_bytes(tmp_path: Path) -> None:
    store, uri = Store(), str(tmp_path / "a.bin")
    store.put_once(uri, b"a" * 100_000)
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(store.read(uri))

    reader = threading.Thread(target=look)
    reader.start()
    for letter in (b"b", b"c") * 20:
        store.replace(uri, letter * 100_000, if_match=store.stat(uri).version)
    done.set()
    reader.join()
    assert seen <= {letter * 100_000 for letter in (b"a", b"b", b"c")}


def test_a_version_does_not_come_back_on_a_disk_whose_clock_stands(tmp_path: Path) -> None:
    store, uri = Store(), str(tmp_path / "a.bin")
    store.put_once(uri, b"one")
    os.utime(uri, ns=(0, 2**62))  # 2116: later than any file that is written now
    versions = [store.stat(uri).version]
    for data in (b"two", b"one", b"two"):
        versions.append(store.replace(uri, data, if_match=versions[-1]).version)
    assert len(set(versions)) == 4
    assert store.stat(uri).version == versions[-1]


def test_a_replaced_file_keeps_its_rights(tmp_path: Path) -> None:
    store, uri = Store(), str(tmp_path / "a.bin")
    store.put_once(uri, b"one")
    os.chmod(uri, 0o640)
    store.replace(uri, b"two", if_match=store.stat(uri).version)
    assert os.stat(uri).st_mode & 0o777 == 0o640
    assert {name for name in os.listdir(tmp_path) if not name.startswith(".")} == {"a.bin"}


def no_conditions(request: Request, serve) -> Answer:
    """A server that takes every PUT, whatever its conditions say."""
    answer = serve()
    return Answer(200, {"ETag": '"0"'}) if answer.status == 412 else answer


def no_replacing(request: Request, serve) -> Answer:
    """A server that knows If-None-Match, and takes no notice of If-Match."""
    return no_conditions(request, serve) if "if-match" in request.headers else serve()


@pytest.mark.parametrize("server", [no_conditions, no_replacing])
def test_a_server_that_knows_no_conditions_is_refused_before_any_work(
    server: faults.Fault, s3_root: str, s3_faults: S3Faults
) -> None:
    options = {"endpoint_url": s3_faults.endpoint}
    s3_faults.script(server, method="PUT", times=100)
    with pytest.raises(
        StorageError, match=r"conditional writes, or set output\.single_writer: true where no other run"
    ):
        Store(options).check_writable(s3_root)
    s3_faults.clear()
    s3_faults.script(server, method="PUT", times=100)
    Store(options, single_writer=True).check_writable(s3_root)
    assert list(Store().glob(join(s3_root, ".*"))) == []


def test_a_single_writer_sends_no_conditions_and_looks_instead(s3_root: str, s3_faults: S3Faults) -> None:
    store, uri = Store({"endpoint_url": s3_faults.endpoint}, single_writer=True), join(s3_root, "a.bin")
    assert store.put_once(uri, b"one") == Put(created=True, same=True)
    assert store.put_once(uri, b"one") == Put(created=False, same=True)
    assert store.put_once(uri, b"two") == Put(created=False, same=False)
    before = store.stat(uri).version
    store.replace(uri, b"two", if_match=before)
    with pytest.raises(VersionChanged):
        store.replace(uri, b"three", if_match=before)
    with pytest.raises(ObjectNotFound):
        store.replace(join(s3_root, "gone.bin"), b"three", if_match=before)
    assert s3_faults.count("PUT") == 2
    assert not any({"if-match", "if-none-match"} & request.headers.keys() for request in s3_faults.seen)
    assert store.read(uri) == b"two"


def test_a_single_writers_lost_reply_is_its_own_write(s3_root: str, s3_faults: S3Faults) -> None:
    store, uri = Store({"endpoint_url": s3_faults.endpoint}, single_writer=True), join(s3_root, "a.bin")
    s3_faults.script(faults.applied_then(500, "InternalError"), method="PUT", times=1)
    assert store.put_once(uri, b"one") == Put(created=False, same=True)
    s3_faults.script(faults.applied_then(500, "InternalError"), method="PUT", times=1)
    assert store.replace(uri, b"two", if_match=store.stat(uri).version) == store.stat(uri)
    assert store.read(uri) == b"two"


def test_other_file_systems_replace_on_the_users_word_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dir://` stands for any file system of fsspec that has no room of its own here."""
    monkeypatch.setitem(KINDS, "dir", "dir")
    options = {"path": str(tmp_path), "target_protocol": "file"}
    uri = "dir://a.bin"
    careful, single = Store(options), Store(options, single_writer=True)
    assert single.put_once(uri, b"one") == Put(created=True, same=True)
    assert single.put_once(uri, b"two") == Put(created=False, same=False)
    with pytest.raises(StorageError, match=r"no conditional replacing.*output\.single_writer: true"):
        careful.replace(uri, b"two", if_match=single.stat(uri).version)
    single.replace(uri, b"three", if_match=single.stat(uri).version)
    with pytest.raises(VersionChanged):
        single.replace(uri, b"four", if_match="another")
    assert single.read(uri) == b"three"


def test_other_file_systems_are_asked_again_for_what_broke_off(
    memory_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, store = join(memory_root, "a.bin"), Store()
    store.put_once(uri, b"0123456789")
    info, whole = store.stat(uri), MemoryFileSystem.cat_file

    def broken(times: int) -> None:
        left = [times]

        def cat_file(self: MemoryFileSystem, *args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            return whole(self, *args, **kwargs)[: None if left[0] < 0 else -1]

        monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)

    for read in (
        lambda store: store.read(uri),
        lambda store: store.read(uri, 0, 10),
        lambda store: dict(store.read_many([info]))[info.uri],
        lambda store: dict(store.read_many([uri]))[uri],
    ):
        broken(2)
        assert read(store) == b"0123456789"
        broken(10_000)
        with pytest.raises(StorageError, match="the last time: the answer broke off"):
            read(Store(patience_seconds=0.2))
