"""File systems without hard links: a name that must be free is taken in another way, or the reason is told."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from framegate.pipelines.store import Put, Store, file_names
from framegate.schemas.errors import StorageError

NO_LINKS = {"exFAT": errno.EPERM, "FUSE": errno.ENOSYS, "another": errno.EOPNOTSUPP}


def fails(number: int) -> Callable[..., None]:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def named_alone(call: Callable[..., int]) -> Callable[..., int]:
    """`os.open` where no file can be without a name."""

    def open_named(path: str, flags: int, *args: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        return call(path, flags, *args)

    return open_named


@pytest.fixture(params=NO_LINKS)
def without_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fails(NO_LINKS[request.param]))


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(os, "open", named_alone(os.open))


@pytest.fixture(params=[errno.EINVAL, errno.ENOSYS])
def without_exclusive_rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_names, "_rename_if_free", fails(request.param))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()} - {file_names.LOCK_FILE}


@pytest.mark.usefixtures("without_links", "files")
def test_objects_are_created_once_replaced_and_deleted(tmp_path: Path) -> None:
    store, uri = Store(), str(tmp_path / "new" / "a.bin")
    assert store.put_once(uri, b"first") == Put(created=True, same=True)
    assert store.put_once(uri, b"first") == Put(created=False, same=True)
    assert store.put_once(uri, b"second") == Put(created=False, same=False)
    store.replace(uri, b"third", if_match=store.stat(uri).version)
    assert store.read(uri) == b"third"
    store.check_writable(str(tmp_path))
    assert names(tmp_path) == {"a.bin"}
    store.delete([uri])
    assert names(tmp_path) == set()


@pytest.mark.usefixtures("without_links", "files")
def test_of_many_writers_one_takes_the_name(tmp_path: Path) -> None:
    for turn in range(20):
        uri = str(tmp_path / f"{turn}.bin")
        with ThreadPoolExecutor(8) as threads:
            puts = [*threads.map(lambda n, uri=uri: Store().put_once(uri, b"%d" % n), range(8))]
        assert [put.created for put in puts].count(True) == 1
        assert Store().read(uri) == b"%d" % [put.created for put in puts].index(True)
    assert len(names(tmp_path)) == 20


@pytest.mark.usefixtures("without_links", "files", "without_exclusive_rename")
def test_where_there_is_no_way_the_reason_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.bin")
    with pytest.raises(StorageError, match=r"no hard links .* set output\.single_writer: true where no other run"):
        Store().put_once(uri, b"first")
    with pytest.raises(StorageError, match="no hard links"):
        Store().check_writable(str(tmp_path))
    assert names(tmp_path) == set()


@pytest.mark.usefixtures("without_links", "files", "without_exclusive_rename")
def test_who_writes_alone_looks_and_renames(tmp_path: Path) -> None:
    store, uri = Store(single_writer=True), str(tmp_path / "a.bin")
    store.check_writable(str(tmp_path))
    assert store.put_once(uri, b"first").created
    assert store.put_once(uri, b"second") == Put(created=False, same=False)
    assert store.read(uri) == b"first"
    store.replace(uri, b"third", if_match=store.stat(uri).version)
    assert store.read(uri) == b"third"
    assert names(tmp_path) == {"a.bin"}


@pytest.mark.usefixtures("without_links")
def test_a_folder_in_the_way_is_told_there_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(StorageError, match="a folder has that name"):
        Store().put_once(str(tmp_path / "a.bin"), b"first")
    assert names(tmp_path) == set()


def test_an_error_that_is_not_about_links_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fails(errno.EACCES))
    with pytest.raises(StorageError, match="permission denied"):
        Store(single_writer=True).put_once(str(tmp_path / "a.bin"), b"first")
    assert names(tmp_path) == set()


def test_a_stopped_process_with_the_lock_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import os, signal, sys; from framegate.pipelines.store.file_names import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
    )
    stopped = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "held\n"
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
        monkeypatch.setattr(file_names, "LOCK_SECONDS", 0.2)
        told = rf"cannot lock {tmp_path}: .* has held .framegate-lock for 0.2 s"
        with pytest.raises(StorageError, match=told), file_names.locked(str(tmp_path)):
            raise AssertionError("two are in here")
        stopped.send_signal(signal.SIGCONT)
        monkeypatch.setattr(file_names, "LOCK_SECONDS", 60)
        with file_names.locked(str(tmp_path)):
            assert stopped.wait(30) == 0
    finally:
        stopped.kill()
        stopped.communicate()
