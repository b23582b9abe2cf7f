"""Store: every operation on objects, the same for each kind of storage."""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, BinaryIO, Final, cast

from fsspec import AbstractFileSystem

from framegate.pipelines.failpoints import reach
from framegate.pipelines.store.addresses import HTTP, LOCAL, S3, kind_of, make_filesystem
from framegate.pipelines.store.backend import Backend
from framegate.pipelines.store.client_options import client_options
from framegate.pipelines.store.errors import translate_errors
from framegate.pipelines.store.fsspec_objects import FsspecObjects
from framegate.pipelines.store.globs import below, fixed_part, matching
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.local import LocalFiles, open_regular
from framegate.pipelines.store.object_file import open_object
from framegate.pipelines.store.object_info import ObjectInfo, OpenUpload, Put, bucket_of, join
from framegate.pipelines.store.pinned import PinnedObject, pin
from framegate.pipelines.store.retries import PATIENCE_SECONDS
from framegate.schemas.clip import Video
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged
from framegate.schemas.uris import protocol_of, public, with_access

FIRST_CONTACT_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Store:
    """Storage under one set of options (`schemas.config.storage_options`). Cheap to make, picklable, safe to share
    between threads.

    single_writer     the user says that nobody else writes here: it then looks and writes, without conditions
    patience_seconds  how long one request is tried again after transient errors
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    single_writer: bool = False
    patience_seconds: float = PATIENCE_SECONDS

    def list(self, prefix: str, listing: Listing | None = None) -> Iterator[ObjectInfo]:
        """Every object below a folder or prefix, by name; nothing where it does not exist. Never from a cache.

        Comes page by page, folder by folder. Names that start with a dot, at any depth below the prefix, are left out:
        temporary and system files; so are links to folders, unless a `listing` says otherwise.
        """
        with translate_errors("list", prefix):
            backend, path = self._backend(prefix)
            yield from backend.list(path, listing=listing)

    def list_hidden(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object below a folder or prefix, names that start with a dot included."""
        with translate_errors("list", prefix):
            backend, path = self._backend(prefix)
            yield from backend.list(path, hidden=True)

    def glob(self, pattern: str, listing: Listing | None = None) -> Iterator[ObjectInfo]:
        """Every object that a glob matches (`*`, `**`, `?`, `[...]`), by name. A star matches no leading dot."""
        with translate_errors("list", pattern):
            backend, path = self._backend(pattern)
            yield from matching(backend, path, listing)

    def stat(self, uri: str) -> ObjectInfo:
        """Raises ObjectNotFound, StorageError."""
        with translate_errors("read", uri):
            backend, path = self._backend(uri)
            return backend.stat(path)

    def is_folder(self, uri: str) -> bool:
        """Whether anything lies below `uri`. Raises ObjectNotFound where a bucket is missing."""
        with translate_errors("list", uri):
            backend, path = self._backend(uri)
            return backend.is_folder(path)

    def check_bucket(self, uri: str) -> None:
        """Raises ObjectNotFound where the bucket of an object that is not there is missing, too."""
        self.is_folder(bucket_of(uri))

    def shows(self, name: str, *, is_pattern: bool) -> Callable[[str], bool]:
        """Whether listing `name`, a folder or a glob, would show an object of some URI, were it there."""
        backend, path = self._backend(name)
        kind, is_below = kind_of(name), below(path, is_pattern=is_pattern)
        return lambda uri: kind_of(uri) == kind and is_below(backend.path(uri))

    def holds(self, folder: str, name: str, *, or_same: bool = False) -> bool:
        """Whether the place that `name` names, a folder or a glob, lies below a folder, as far as names and links tell.

        Asks nothing of storage but where local links lead.
        """
        if kind_of(folder) != kind_of(name):
            return False
        outer, inner = (self._backend(fixed_part(uri))[1].rstrip("/") for uri in (folder, name))
        if kind_of(folder) == "file":
            outer, inner = (os.path.realpath(path or "/") for path in (outer, inner))
        return (outer == inner and or_same) or inner.startswith(outer.rstrip("/") + "/")

    @staticmethod
    def real_path(uri: str) -> str | None:
        """Where a local file or folder lies once all links are followed; None where a URI is of other storage."""
        return os.path.realpath(LocalFiles().path(uri) or "/") if protocol_of(uri) in LOCAL else None

    @staticmethod
    def is_local(uri: str) -> bool:
        """Whether it is a file or folder of this machine. Asks nothing of storage."""
        return protocol_of(uri) in LOCAL

    def read(self, uri: str, start: int | None = None, end: int | None = None) -> bytes:
        """Bytes [start, end), or all. Raises ObjectNotFound, StorageError, also where the object ends before `end`."""
        first = start or 0
        if first < 0 or (end is not None and end < first):
            raise ValueError(f"bytes {start} to {end} of {public(uri)} are no range; it must be 0 <= start <= end")
        with translate_errors("read", uri):
            backend, path = self._backend(uri)
            return backend.read(path, first, end)

    def read_version(self, uri: str) -> tuple[ObjectInfo, bytes]:
        """An object whole, and the version that these bytes are. Raises ObjectNotFound, StorageError."""
        with translate_errors("read", uri):
            backend, path = self._backend(uri)
            while True:
                info = backend.stat(path)
                try:
                    return info, backend.read(path, 0, None, version=info.version)
                except VersionChanged:  # replaced between the two
                    continue

    def read_many(self, objects: Iterable[str | ObjectInfo]) -> Iterator[tuple[str, bytes]]:
        """Whole objects with their URIs in the order given, some dozens at a time. For small objects.

        Raises VersionChanged where one that was listed has another size now, ObjectNotFound, StorageError.
        """
        for uri, data in self.read_present(objects):
            if data is None:
                raise ObjectNotFound(
                    f"cannot read {public(uri)}: it, or the bucket or folder it belongs to, does not exist"
                )
            yield uri, data

    def read_present(self, objects: Iterable[str | ObjectInfo]) -> Iterator[tuple[str, bytes | None]]:
        """`read_many` of objects that may be gone: None in place of their bytes."""
        waiting = iter(objects)
        first = next(waiting, None)
        if first is None:
            return
        with translate_errors("read", _uri(first)):
            backend, _ = self._backend(_uri(first))
        asked: deque[str] = deque()
        found = backend.read_many(_note(asked, backend, chain([first], waiting)))
        try:
            for data in found:
                yield asked.popleft(), data
        except Exception as error:
            with translate_errors("read", asked[0] if asked else _uri(first)):
                raise error
        finally:
            cast(Generator, found).close()  # cancels the requests still under way

    def open_read(self, uri: str) -> BinaryIO:
        """A seekable file over one version of an object, which the caller closes.

        Its reads raise OSError (ESTALE) where another version has taken the object's place, StorageError else.
        """
        with translate_errors("read", uri):
            backend, path = self._backend(uri)
            if isinstance(backend, LocalFiles):
                return open(open_regular(path)[0], "rb")
            return open_object(public(uri), backend, path)

    def open_pinned(self, video: Video) -> PinnedObject:
        """The bytes of a video: its object at its version, of which a tar member is a stretch.

        Raises VersionChanged, ObjectNotFound, StorageError. On S3 nothing is asked when it opens, unless there is
        nothing to read: each read names the version, and the first one raises.
        """
        with translate_errors("read", video.object_uri):
            return pin(*self._backend(with_access(video.object_uri, video.access)), video)

    def filesystem(self, uri: str) -> tuple[AbstractFileSystem, str]:
        """The fsspec filesystem behind a URI, and its path there: to read only.

        DuckDB and pyarrow's datasets take a file system and no reader of ours: what they read by it is neither retried
        nor translated here.
        """
        with translate_errors("read", uri):
            fs = make_filesystem(uri, self._options(uri))
            return fs, cast(str, fs._strip_protocol(uri))

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Multipart uploads below a prefix that are neither completed nor aborted. Only S3 has them."""
        with translate_errors("list", prefix):
            backend, path = self._backend(prefix)
            yield from backend.open_uploads(path)

    def put_once(self, uri: str, data: bytes) -> Put:
        """Creates the object whole, or leaves the one that is there. Never a half, never an overwrite.

        The first writer wins. A retry after a lost reply meets its own object, which is why bytes are compared.
        Raises CredentialsError, StorageFull, StorageError.
        """
        with translate_errors("write", uri):
            backend, path = self._backend(uri)
            reach("put.before")
            put = backend.put_once(path, data)
            if put.created:
                reach("put.after")
            return put

    def replace(self, uri: str, data: bytes, *, if_match: str) -> ObjectInfo:
        """Puts other bytes in the place of one version of an object, whole: a reader meets the old or the new ones.

        Raises VersionChanged where another version is there, ObjectNotFound where none is, StorageError. On a
        local disk it may run beside a `delete` of an object that was replaced before.
        """
        with translate_errors("replace", uri):
            backend, path = self._backend(uri)
            reach("replace.before")
            info = backend.replace(path, data, if_match)
            reach("replace.after")
            return info

    def delete(self, uris: Iterable[str]) -> None:
        """Removes objects, on S3 a thousand at a time; one that is gone already is no error."""
        waiting = iter(uris)
        while first := next(waiting, None):
            with translate_errors("delete", first):
                backend, path = self._backend(first)
                paths = [path, *(self._backend(uri)[1] for uri in islice(waiting, backend.DELETE_MANY - 1))]
                reach("delete.before")
                backend.delete(paths)
                reach("delete.after")

    def check_reachable(self, root: str) -> None:
        """Raises StorageError where nothing could be written below `root`, as far as looking tells. Writes nothing."""
        # Raises where the bucket is missing; some servers answer a PUT there with a 500. A mistyped address should fail
        # sooner than a server that is away in the middle of a run.
        first = replace(self, patience_seconds=min(self.patience_seconds, FIRST_CONTACT_SECONDS))
        with translate_errors("write", root):
            backend, path = first._backend(root)
            backend.check_kind(path)
        first.is_folder(root)

    def check_writable(self, root: str) -> None:
        """Raises StorageError unless objects below `root` can be created once, replaced by version, and deleted."""
        self.check_reachable(root)
        name = f".framegate-probe-{uuid.uuid4().hex}"
        # In a folder of its own on a disk, where replacing leaves a file for its lock.
        probe = join(root, name, name) if kind_of(root) == "file" else join(root, name)
        try:
            self._check_conditions(root, probe)
        finally:
            if kind_of(root) == "file":
                LocalFiles().remove_folder(LocalFiles().path(join(root, name)))

    def _check_conditions(self, root: str, probe: str) -> None:
        self.put_once(probe, b"first")
        try:
            if self.put_once(probe, b"second").created:
                raise StorageError(_no_condition(root, "overwrites objects that exist", "If-None-Match"))
            version = self.stat(probe).version
            try:
                self.replace(probe, b"second", if_match="0" * 32)
            except VersionChanged:
                self.replace(probe, b"third", if_match=version)
            else:
                raise StorageError(_no_condition(root, "replaces an object of another version", "If-Match"))
        finally:
            self.delete([probe])

    def _backend(self, uri: str) -> tuple[Backend, str]:
        """The kind of storage behind a URI, and the path there."""
        protocol = protocol_of(uri)
        if protocol in LOCAL:
            local = LocalFiles(single_writer=self.single_writer)
            return local, local.path(uri)
        if protocol in HTTP:
            from framegate.pipelines.store.http import HttpObjects

            return HttpObjects(patience_seconds=self.patience_seconds), uri
        options, kind = self._options(uri), FsspecObjects
        if protocol in S3:
            from framegate.pipelines.store.s3 import S3Objects
            from framegate.pipelines.store.s3_reader import ONE_TRY

            options["config_kwargs"] = {**ONE_TRY, **options.get("config_kwargs", {})}
            kind = S3Objects
        fs = make_filesystem(uri, options)
        backend = kind(fs, single_writer=self.single_writer, patience_seconds=self.patience_seconds)
        return backend, backend.path(uri)

    def _options(self, uri: str) -> dict[str, Any]:
        if protocol_of(uri) in LOCAL:
            return {}
        return {"use_listings_cache": False, **client_options(uri, self.options)}


def _uri(item: str | ObjectInfo) -> str:
    return item if isinstance(item, str) else item.uri


def _note(
    asked: deque[str], backend: Backend, objects: Iterable[str | ObjectInfo]
) -> Iterator[tuple[str, ObjectInfo | None]]:
    for item in objects:
        asked.append(_uri(item))
        yield backend.path(_uri(item)), None if isinstance(item, str) else item


def _no_condition(root: str, fault: str, header: str) -> str:
    return (
        f"{root} {fault} although told not to ({header}); use a store with conditional writes, or set"
        " output.single_writer: true where no other run ever writes to this output"
    )
