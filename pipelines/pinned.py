"""One version of one object, by range reads: a changed object is an error, never a mix of two.

What was planned is what is read, also where that is a stretch of a larger object (a member of a tar shard). Beside
`store.py` the only place that knows fsspec, because pinning a read is a different thing on each kind of storage. Knows
nothing of videos but where their bytes are; caches nothing.
"""

from __future__ import annotations

import asyncio
import os
from itertools import count
from typing import Any, Protocol, cast

from fsspec import AbstractFileSystem
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

from pipelines.store import Store, file_version, object_info, sentence
from schemas.clip import Video
from schemas.errors import StorageError, VersionChanged

S3_FIRST_PAUSE_SECONDS = 0.1  # before a broken body is asked for again; doubles each time


class PinnedObject:
    """Bytes [0, size_bytes) of one version of an object or of a stretch of it. Close it when done. Not thread-safe.

    bytes_read   fetched from storage so far
    """

    def __init__(self, uri: str, ranges: _Ranges, *, start: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.bytes_read = 0
        self._uri = uri
        self._ranges = ranges
        self._start = start

    def read(self, start: int, end: int) -> bytes:
        """Exactly the bytes [start, end).

        Raises VersionChanged, ObjectNotFound, StorageError; ValueError where [0, size_bytes] is left.
        """
        if not 0 <= start <= end <= self.size_bytes:
            raise ValueError(f"bytes {start} to {end} are not within the {self.size_bytes} bytes of {self._uri}")
        if start == end:
            return b""
        with sentence("read", self._uri):
            data = self._ranges.read(self._start + start, self._start + end)
        self.bytes_read += len(data)
        if len(data) != end - start:
            raise StorageError(
                f"cannot read {self._uri}: of bytes {self._start + start} to {self._start + end},"
                f" {len(data)} of {end - start} came"
            )
        return data

    def close(self) -> None:
        """Frees the descriptor of a local file."""
        self._ranges.close()

    def __enter__(self) -> PinnedObject:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_pinned(store: Store, video: Video) -> PinnedObject:
    """The bytes of a video: its object at its version, of which a tar member is a stretch.

    Raises VersionChanged, ObjectNotFound, StorageError. On S3 nothing is asked when it opens, unless there is nothing
    to read: each read names the version, and the first one raises.
    """
    uri = video.object_uri
    with sentence("read", uri):
        fs, path = store.filesystem(uri)
        if isinstance(fs, LocalFileSystem):
            ranges: _Ranges = _LocalFile(uri, path, video.version)
        elif hasattr(fs, "call_s3"):
            ranges = _S3Object(uri, fs, path, video.version)
            if video.size_bytes == 0:
                _check_version(uri, fs, path, video.version)
        else:
            ranges = _AnyObject(uri, fs, path, video.version)
    start = 0 if video.member is None else video.member.offset_bytes
    return PinnedObject(uri, ranges, start=start, size_bytes=video.size_bytes)


class _Ranges(Protocol):
    def read(self, start: int, end: int) -> bytes: ...

    def close(self) -> None: ...


class _LocalFile:
    """An open descriptor: a file that is replaced by renaming stays whole behind it; one that is written to is seen."""

    def __init__(self, uri: str, path: str, version: str) -> None:
        self._uri, self._version = uri, version
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end and (part := os.pread(self._descriptor, end - start, start)):
            parts.append(part)
            start += len(part)
        self._check()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _check(self) -> None:
        version = file_version(os.fstat(self._descriptor))
        if version != self._version:
            raise _changed(self._uri, self._version, version)


class _S3Object:
    """Each request names the etag (If-Match), and the answer must carry it: not every server knows If-Match."""

    def __init__(self, uri: str, fs: Any, path: str, version: str) -> None:
        self._uri, self._fs, self._version = uri, fs, version
        bucket, key, version_id = fs.split_path(path)
        self._object = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}

    def read(self, start: int, end: int) -> bytes:
        return cast(bytes, sync(self._fs.loop, self._read, start, end))

    def close(self) -> None:
        """Nothing is held."""

    async def _read(self, start: int, end: int) -> bytes:
        pause_seconds = S3_FIRST_PAUSE_SECONDS
        for attempt in count(1):
            response = await self._get(start, end)
            try:
                async with response["Body"] as body:
                    return await body.read()
            except Exception:  # whatever breaks off a body is worth another request; s3fs tries again only to get one
                if attempt >= self._fs.retries:
                    raise
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
        raise AssertionError  # count() does not end

    async def _get(self, start: int, end: int) -> dict[str, Any]:
        try:
            response = await self._fs._call_s3(
                "get_object", **self._object, Range=f"bytes={start}-{end - 1}", IfMatch=f'"{self._version}"'
            )
        except OSError as error:
            if _http_status(error) == 412:
                raise _changed(self._uri, self._version) from error
            raise
        etag = response["ETag"].strip('"')
        if etag != self._version:
            response["Body"].close()
            raise _changed(self._uri, self._version, etag)
        return response


class _AnyObject:
    """Asks for the version when it opens and again after each read: a version does not come back."""

    def __init__(self, uri: str, fs: AbstractFileSystem, path: str, version: str) -> None:
        self._uri, self._fs, self._path, self._version = uri, fs, path, version
        _check_version(uri, fs, path, version)

    def read(self, start: int, end: int) -> bytes:
        data = cast(bytes, self._fs.cat_file(self._path, start=start, end=end))
        _check_version(self._uri, self._fs, self._path, self._version)
        return data

    def close(self) -> None:
        """Nothing is held."""


def _check_version(uri: str, fs: AbstractFileSystem, path: str, version: str) -> None:
    found = object_info(fs, fs.info(path)).version
    if found != version:
        raise _changed(uri, version, found)


def _changed(uri: str, wanted: str, found: str | None = None) -> VersionChanged:
    now = "another one" if found is None else found
    return VersionChanged(f"{uri} has changed since it was planned: version {wanted} was seen then, {now} is there now")


def _http_status(error: BaseException) -> int | None:
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
