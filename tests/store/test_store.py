"""The store: whole objects or none, first writer wins, the same on every kind of storage."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from framegate.pipelines.store import Put, Store, join
from framegate.schemas.errors import ObjectNotFound, StorageError


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "root")
    return request.getfixturevalue({"memory": "memory_root", "s3": "s3_root"}[request.param])


def test_an_object_is_created_once_and_the_first_writer_wins(root: str) -> None:
    store, uri = Store(), join(root, "a/b.bin")
    assert store.put_once(uri, b"first") == Put(created=True, same=True)
    assert store.put_once(uri, b"first") == Put(created=False, same=True)
    assert store.put_once(uri, b"other") == Put(created=False, same=False)
    assert store.read(uri) == b"first"


def test_of_many_writers_at_once_exactly_one_creates(root: str) -> None:
    store, uri = Store(), join(root, "race.bin")
    with ThreadPoolExecutor(8) as threads:
        puts = list(threads.map(lambda n: store.put_once(uri, b"%d" % n), range(8)))
    assert sum(put.created for put in puts) == 1
    assert store.read(uri) == b"%d" % [put.created for put in puts].index(True)


def test_a_listing_is_fresh_sorted_and_free_of_hidden_files(root: str) -> None:
    store = Store()
    assert list(store.list(root)) == []
    for name in ("b.bin", "a/c.bin", ".hidden", "a/.tmp.bin"):
        store.put_once(join(root, name), name.encode())
    assert [info.uri.split("/")[-1] for info in store.list(root)] == ["c.bin", "b.bin"]
    store.delete([join(root, "b.bin"), join(root, "never-there.bin")])
    assert [info.uri.split("/")[-1] for info in store.list(root)] == ["c.bin"]
    assert list(store.glob(join(root, "**/*.bin"))) == list(store.list(root))


def test_a_listed_name_can_be_read_and_has_its_size(root: str) -> None:
    store = Store()
    store.put_once(join(root, "x/0123.bin"), b"0123456789")
    [info] = store.list(root)
    assert info.size_bytes == 10
    assert info == store.stat(info.uri)
    assert store.read(info.uri, 2, 5) == b"234"
    assert dict(store.read_many([info.uri])) == {info.uri: b"0123456789"}
    with store.open_read(info.uri) as file:
        file.seek(7)
        assert file.read() == b"789"


def test_the_version_changes_with_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"one")
    before = Store().stat(str(path))
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert Store().stat(str(path)).version != before.version


def test_what_is_not_there_is_said_in_one_sentence(root: str) -> None:
    with pytest.raises(ObjectNotFound, match=r"cannot read .*nothing\.bin.* does not exist"):
        Store().read(join(root, "nothing.bin"))
    with pytest.raises(ObjectNotFound):
        Store().stat(join(root, "nothing.bin"))


def test_a_missing_bucket_is_refused_before_any_work(s3_endpoint: str) -> None:
    with pytest.raises(ObjectNotFound, match="s3://no-such-bucket"):
        Store().check_writable("s3://no-such-bucket/index")
    with pytest.raises(ObjectNotFound, match="s3://no-such-bucket"):
        Store().is_folder("s3://no-such-bucket/videos")


def test_wrong_credentials_are_said_in_one_sentence(s3_root: str) -> None:
    store = Store({"client_kwargs": {"aws_secret_access_key": "wrong", "aws_access_key_id": "framegate"}})
    with pytest.raises(StorageError, match="credentials"):
        store.check_writable(s3_root)


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"):
        Store().check_writable(str(tmp_path / "file" / "index"))


def test_checking_for_writing_leaves_nothing_behind(root: str) -> None:
    Store().check_writable(root)
    assert list(Store().glob(join(root, "**"))) == []


def test_a_local_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    uri = str(tmp_path / "object.bin")
    with pytest.raises(StorageError):
        Store().put_once(uri, "not bytes")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_store_travels_to_another_process() -> None:
    store = Store({"endpoint_url": "http://127.0.0.1:9"})
    assert pickle.loads(pickle.dumps(store)) == store
