"""Every byte in or out of storage: list, stat, read, create once, delete. The only place that knows fsspec.

Objects are named by URI: a local path, `file://`, `s3://`, `memory://` or any other protocol of fsspec. Knows nothing
of videos, Parquet or what a name means. There is no way to overwrite an object and no stream into storage: a writer
that dies must leave nothing behind, and both `fs.open(uri, "wb")` and pyarrow's output streams then leave a valid,
short Parquet file.
"""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.utils import get_protocol

from schemas.errors import ObjectNotFound, StorageError

_MEMORY_LOCK = threading.Lock()
READ_MANY = 256  # objects in flight in one read_many; s3fs keeps a connection pool of its own below that


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One object. `version` changes when its bytes do: the etag, else size and modification time."""

    uri: str
    size_bytes: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Put:
    """What `put_once` met. `created` is False where an object was there: ours (`same`), or another writer's."""

    created: bool
    same: bool


@dataclass(frozen=True)
class Store:
    """Storage under one set of fsspec options. Cheap to make, picklable, safe to share between threads."""

    options: Mapping[str, Any] = field(default_factory=dict)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below a folder or prefix, by name; nothing where it does not exist. Never from a cache.

        Names that start with a dot, at any depth below the prefix, are left out: temporary and system files.
        """
        with sentence("list", prefix):
            fs, path = self._resolve(prefix)
            try:
                found = cast(dict[str, dict], fs.find(path, detail=True))
            except FileNotFoundError:
                return
        root = path.rstrip("/")
        for name in sorted(found):
            below = name[len(root) :]
            if found[name]["type"] == "file" and not any(part.startswith(".") for part in below.split("/")):
                with suppress(FileNotFoundError):  # deleted since
                    yield object_info(fs, found[name])

    def glob(self, pattern: str) -> Iterator[ObjectInfo]:
        """Every object that a glob matches (`*`, `**`, `?`, `[...]`), by name. A star matches no leading dot."""
        with sentence("list", pattern):
            fs, path = self._resolve(pattern)
            found = cast(dict[str, dict], fs.glob(path, detail=True))
        with_hidden = path.rsplit("/", 1)[-1].startswith(".")
        for name in sorted(found):
            if found[name]["type"] == "file" and (with_hidden or not name.rsplit("/", 1)[-1].startswith(".")):
                with suppress(FileNotFoundError):  # deleted since
                    yield object_info(fs, found[name])

    def stat(self, uri: str) -> ObjectInfo:
        """Raises ObjectNotFound, StorageError."""
        with sentence("read", uri):
            fs, path = self._resolve(uri)
            info = fs.info(path)
            if info["type"] != "file":
                raise FileNotFoundError(path)
            return object_info(fs, info)

    def is_folder(self, uri: str) -> bool:
        """Whether anything lies below `uri`. Raises ObjectNotFound where a bucket is missing."""
        with sentence("list", uri):
            fs, path = self._resolve(uri)
            bucket = path.split("/")[0]
            if not isinstance(fs, LocalFileSystem | MemoryFileSystem) and bucket:
                fs.info(bucket)
            return fs.isdir(path)

    def read(self, uri: str, start: int | None = None, end: int | None = None) -> bytes:
        """Bytes [start, end), or all. Raises ObjectNotFound, StorageError."""
        with sentence("read", uri):
            fs, path = self._resolve(uri)
            return cast(bytes, fs.cat_file(path, start=start, end=end))

    def read_many(self, uris: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Whole objects with their URIs in the order given, some hundred at a time. For small objects."""
        waiting = list(uris)
        for first in range(0, len(waiting), READ_MANY):
            some = waiting[first : first + READ_MANY]
            with sentence("read", some[0]):
                fs = self._resolve(some[0])[0]
                paths = [self._resolve(uri)[1] for uri in some]
                found = cast(dict[str, bytes], fs.cat(paths, on_error="raise"))
            yield from ((uri, found[path]) for uri, path in zip(some, paths, strict=True))

    def open_read(self, uri: str) -> BinaryIO:
        """A seekable file over range reads. The caller closes it; its own reads raise OSError."""
        with sentence("read", uri):
            fs, path = self._resolve(uri)
            return cast(BinaryIO, fs.open(path, "rb"))

    def filesystem(self, uri: str) -> tuple[AbstractFileSystem, str]:
        """The fsspec filesystem behind a URI, and its path there: for Parquet readers that take one, never to write."""
        with sentence("read", uri):
            return self._resolve(uri)

    def put_once(self, uri: str, data: bytes) -> Put:
        """Creates the object whole, or leaves the one that is there. Never a half, never an overwrite.

        The first writer wins. A retry after a lost reply meets its own object, which is why bytes are compared.
        """
        with sentence("write", uri):
            fs, path = self._resolve(uri)
            try:
                _create(fs, path, data)
                return Put(created=True, same=True)
            except FileExistsError:
                return Put(created=False, same=cast(bytes, fs.cat_file(path)) == data)

    def delete(self, uris: Iterable[str]) -> None:
        """Removes objects; one that is gone already is no error."""
        for uri in uris:
            with sentence("delete", uri), suppress(FileNotFoundError):
                fs, path = self._resolve(uri)
                fs.rm_file(path)

    def check_writable(self, root: str) -> None:
        """Raises StorageError unless objects below `root` can be created, are refused a second time, and deleted."""
        self.is_folder(root)  # raises where the bucket is missing; some servers answer a PUT there with a 500
        probe = join(root, f".framegate-probe-{uuid.uuid4().hex}")
        self.put_once(probe, b"first")
        try:
            if self.put_once(probe, b"second").created:
                raise StorageError(
                    f"{root} overwrites objects that exist although told not to (If-None-Match);"
                    " use a store with conditional writes"
                )
        finally:
            self.delete([probe])

    def _resolve(self, uri: str) -> tuple[AbstractFileSystem, str]:
        protocol = get_protocol(uri)
        options = {} if protocol in ("file", "local") else {"use_listings_cache": False, **self.options}
        fs, path = url_to_fs(uri, **options)
        return fs, path


def join(root: str, *parts: str) -> str:
    """`root/part/part` with exactly one slash between them."""
    return "/".join([root.rstrip("/"), *parts])


def _create(fs: AbstractFileSystem, path: str, data: bytes) -> None:
    """Raises FileExistsError where the object exists."""
    if isinstance(fs, LocalFileSystem):
        _create_local(path, data)
    elif isinstance(fs, MemoryFileSystem):
        with _MEMORY_LOCK:
            fs.pipe_file(path, data, mode="create")
    else:
        # One PUT and no multipart upload, whatever the size: the condition then holds for the object as a whole.
        try:
            fs.pipe_file(path, data, mode="create", chunksize=max(len(data), 1))
        except OSError as error:
            # s3fs turns a 412 into EINVAL where the server's answer does not name the condition.
            if error.errno == errno.EINVAL and fs.exists(path):
                raise FileExistsError(path) from error
            raise


def _create_local(path: str, data: bytes) -> None:
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    folder_descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_descriptor)
    finally:
        os.close(folder_descriptor)


def file_version(stat: os.stat_result) -> str:
    """The version of a local file."""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def object_info(fs: AbstractFileSystem, info: Mapping[str, Any]) -> ObjectInfo:
    """What `fs.info` says of an object."""
    if isinstance(fs, LocalFileSystem):
        stat = os.stat(info["name"])
        return ObjectInfo(uri=info["name"], size_bytes=stat.st_size, version=file_version(stat))
    size_bytes = info["size"] or 0
    changed = info.get("LastModified") or info.get("mtime") or info.get("created") or ""
    if isinstance(changed, datetime):  # one and the same file system gives now this, now seconds
        changed = changed.timestamp()
    version = str(info.get("ETag") or "").strip('"') or f"{size_bytes}-{changed}"
    return ObjectInfo(uri=fs.unstrip_protocol(info["name"]), size_bytes=size_bytes, version=version)


@contextmanager
def sentence(verb: str, uri: str) -> Iterator[None]:
    """Turns what fsspec and the clients below it raise into one sentence."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        raise ObjectNotFound(
            f"cannot {verb} {uri}: it, or the bucket or folder it belongs to, does not exist"
        ) from error
    except PermissionError as error:
        raise StorageError(f"cannot {verb} {uri}: permission denied ({error}); check the credentials") from error
    except Exception as error:
        raise StorageError(f"cannot {verb} {uri}: {type(error).__name__}: {error}") from error
