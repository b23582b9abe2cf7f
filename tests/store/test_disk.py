"""A disk that is full, and a process that dies: what is visible afterwards is whole, and nothing is left over."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.failpoints import FAIL_AT
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError, StorageFull

OLD, NEW = b"old" * 1000, b"new" * 1000

ON_A_SMALL_DISK = """
import os, sys
from framegate.pipelines.store import Put, Store
from framegate.schemas.errors import StorageFull
root, store = sys.argv[1], Store()
store.put_once(f"{root}/a.bin", b"a" * 100_000)
before = store.stat(f"{root}/a.bin")
for write in (
    lambda: store.put_once(f"{root}/b.bin", b"b" * 2_000_000),
    lambda: store.replace(f"{root}/a.bin", b"b" * 2_000_000, if_match=before.version),
):
    try:
        write()
        raise SystemExit("a disk of 1 MB took 2 MB")
    except StorageFull as error:
        print(error)
assert sorted(os.listdir(root)) == ["a.bin"], os.listdir(root)
assert store.stat(f"{root}/a.bin") == before and store.read(f"{root}/a.bin") == b"a" * 100_000
assert store.put_once(f"{root}/b.bin", b"b" * 100_000) == Put(created=True, same=True)
"""


def test_a_disk_that_is_full_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    tmpfs = 'mount -t tmpfs -o size=1m tmpfs "$1" && shift && exec "$@"'
    if not shutil.which("unshare") or subprocess.run([*mount, tmpfs, "-", str(tmp_path), "true"]).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    script = [sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)]
    done = subprocess.run([*mount, tmpfs, "-", str(tmp_path), *script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written, replaced = done.stdout.splitlines()
    assert written.startswith(f"cannot write {tmp_path}/b.bin: there is no room left")
    assert replaced.startswith(f"cannot replace {tmp_path}/a.bin: there is no room left")


@settings(max_examples=60)
@given(
    call=st.sampled_from(["write", "fsync", "link", "replace", "mkdir"]),
    number=st.sampled_from([errno.ENOSPC, errno.EDQUOT, errno.EIO]),
    after=st.integers(0, 3),
    replacing=st.booleans(),
    nameless=st.booleans(),
)
def test_whatever_the_disk_refuses_leaves_the_old_or_the_new(
    tmp_path_factory: pytest.TempPathFactory, call: str, number: int, after: int, replacing: bool, nameless: bool
) -> None:
    folder = tmp_path_factory.mktemp("refused")
    uri = str(folder / ("a.bin" if replacing else "new/folder/a.bin"))
    store = Store()
    version = ""
    if replacing:
        store.put_once(uri, OLD)
        version = store.stat(uri).version
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, refusing(getattr(os, call), number, after))
        if not nameless:
            patch.setattr(os, "open", without_nameless_files(os.open))
        error = None
        try:
            if replacing:
                store.replace(uri, NEW, if_match=version)
            else:
                store.put_once(uri, NEW)
        except StorageError as caught:
            error = caught
    if error is not None:
        assert isinstance(error, StorageFull) == (number != errno.EIO)
        assert str(error).startswith(f"cannot {'replace' if replacing else 'write'} {uri}: ")
    assert {data for _, data in store.read_present([uri])} <= ({OLD, NEW} if replacing else {None, NEW})
    left = [name for _, _, names in os.walk(folder) for name in names if name != ".framegate-lock"]
    assert set(left) <= {"a.bin"}


def refusing(call: Callable, number: int, after: int) -> Callable:
    """The system call, which fails after so many times."""
    left = [after]

    def refuse(*args, **kwargs):
        if left[0] == 0:
            raise OSError(number, os.strerror(number))
        left[0] -= 1
        return call(*args, **kwargs)

    return refuse


def without_nameless_files(call: Callable) -> Callable:
    """As NFS answers."""

    def open_named(path: str, flags: int, *args) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        return call(path, flags, *args)

    return open_named


KILLED_WHILE_IT_WRITES = """
import os, signal, sys
from framegate.pipelines.store import Store
store, (old, new) = Store(), sys.argv[1:]
version = store.stat(old).version
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
store.put_once(new, b"new") if new != old else store.replace(old, b"new", if_match=version)
"""


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_process_killed_while_it_writes_leaves_nothing_half_written(tmp_path: Path, name: str) -> None:
    """CI found the hidden file of an attempt that was being marked as the process of an engine that hung was ended."""
    (tmp_path / "a").write_bytes(b"old")
    script = [sys.executable, "-c", KILLED_WHILE_IT_WRITES, str(tmp_path / "a"), str(tmp_path / name)]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_short_write_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    Store().put_once(str(tmp_path / "a.bin"), OLD)
    assert (tmp_path / "a.bin").read_bytes() == OLD


DYING = """
import sys
from framegate.pipelines.store import Store
store, (a, b, c) = Store(), sys.argv[1:]
store.put_once(c, b"third")
store.replace(a, b"new", if_match=store.stat(a).version)
store.delete([b])
"""


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("put.before", {"a": b"old", "b": b"second"}),
        ("put.after", {"a": b"old", "b": b"second", "c": b"third"}),
        ("replace.before", {"a": b"old", "b": b"second", "c": b"third"}),
        ("replace.after", {"a": b"new", "b": b"second", "c": b"third"}),
        ("delete.before", {"a": b"new", "b": b"second", "c": b"third"}),
        ("delete.after", {"a": b"new", "c": b"third"}),
    ],
)
def test_dying_before_or_after_a_change_leaves_what_was_or_what_is(
    tmp_path: Path, place: str, left: dict[str, bytes]
) -> None:
    store = Store()
    uris = [str(tmp_path / name) for name in "abc"]
    store.put_once(uris[0], b"old")
    store.put_once(uris[1], b"second")
    done = subprocess.run([sys.executable, "-c", DYING, *uris], env={**os.environ, FAIL_AT: place})
    assert done.returncode == -9
    assert {uri[-1]: data for uri, data in store.read_many(store.list(str(tmp_path)))} == left
    again = subprocess.run([sys.executable, "-c", DYING, *uris])
    assert again.returncode == 0
    assert {uri[-1]: data for uri, data in store.read_many(store.list(str(tmp_path)))} == {"a": b"new", "c": b"third"}


def test_a_folder_in_the_way_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*a folder has that name"):
        Store().put_once(str(tmp_path / "a"), b"x")
