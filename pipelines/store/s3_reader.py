"""Reading and listing in S3: requests are retried inside one budget of time, dozens of them at once.

The clients below have retries of their own, five in botocore times five in s3fs, blind to what a try may have done;
here they are off, and every failure is seen.
"""

from __future__ import annotations

from asyncio import run_coroutine_threadsafe
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, TypeVar, cast

from fsspec import AbstractFileSystem

from framegate.pipelines.store.addresses import kind_of
from framegate.pipelines.store.backend import check_length, version_changed
from framegate.pipelines.store.errors import answer_of
from framegate.pipelines.store.listing import Listing
from framegate.pipelines.store.object_info import ObjectInfo, OpenUpload, is_hidden
from framegate.pipelines.store.retries import retry
from framegate.pipelines.store.s3_body import read_body

IN_FLIGHT: Final = 64  # requests and connections at once; one S3 prefix takes 5,500 reads a second
ONE_TRY: Final = {"retries": {"total_max_attempts": 1}, "max_pool_connections": IN_FLIGHT}  # of botocore's Config
MARK: Final = "framegate-write"  # user metadata of an object that was replaced: which call did it
T = TypeVar("T")


class S3Reader:
    """The half of a Backend that changes nothing. Thread-safe: all requests run on fsspec's loop."""

    def __init__(self, fs: AbstractFileSystem, *, single_writer: bool, patience_seconds: float) -> None:
        self._fs = cast(Any, fs)
        self._fs.retries = 1
        self._single_writer = single_writer
        self._patience_seconds = patience_seconds

    def path(self, uri: str) -> str:
        """Bucket and key as they are: s3fs would cut slashes at the end off, which are a part of a key."""
        return uri.partition("://")[2]

    def check_kind(self, path: str) -> None:
        """What the credentials allow is told by writing alone."""

    def list(
        self, path: str, *, depth: int | None = None, hidden: bool = False, listing: Listing | None = None
    ) -> Iterator[ObjectInfo]:
        bucket, prefix = self._folder(path)
        left_out = "" if listing is None or listing.leave_out is None else self._out(bucket, listing.leave_out)
        flat = {"Delimiter": "/"} if depth == 1 else {}  # keys that are deeper by more cost less to skip than to walk
        for page in self._pages("list_objects_v2", Bucket=bucket, Prefix=prefix, **flat):
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if key.endswith("/") and not hidden:  # some console's "folder"
                    continue
                if listing is not None and left_out and listing.leaves_out(key, prefix, left_out):
                    continue
                if hidden or not is_hidden(key[len(prefix) :]):
                    yield s3_info(bucket, key, entry["Size"], entry["ETag"])
                elif listing is not None:
                    listing.num_hidden += 1

    def stat(self, path: str) -> ObjectInfo:
        return self._wait(self._stat(path))

    def is_folder(self, path: str) -> bool:
        bucket, prefix = self._folder(path)
        page = self._wait(self._call("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1))
        return not prefix or bool(page.get("Contents"))

    def read(self, path: str, start: int, end: int | None, *, version: str | None = None) -> bytes:
        return self._wait(self._read(path, start, end, version))

    def read_many(self, items: Iterable[tuple[str, ObjectInfo | None]]) -> Iterator[bytes | None]:
        asked: deque = deque()
        try:
            for path, info in items:
                asked.append(run_coroutine_threadsafe(self._read_present(path, info), self._fs.loop))
                if len(asked) == IN_FLIGHT:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            for request in asked:
                request.cancel()

    def open_uploads(self, path: str) -> Iterator[OpenUpload]:
        bucket, prefix = self._folder(path)
        for page in self._pages("list_multipart_uploads", Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                yield OpenUpload(
                    uri=f"s3://{bucket}/{upload['Key']}", upload_id=upload["UploadId"], started=upload["Initiated"]
                )

    async def _stat(self, path: str) -> ObjectInfo:
        return (await self._look(path))[0]

    async def _look(self, path: str) -> tuple[ObjectInfo, str | None]:
        """What is there, and the mark of the replacement that put it there."""
        bucket, key = self._key(path)
        try:
            answer = await self._call("head_object", Bucket=bucket, Key=key)
        except OSError as error:
            if answer_of(error)[1] in (400, 403):  # answers to HEAD have no body: only another request says why
                await self._retry(lambda: self._explain(bucket, key))
            raise
        return s3_info(bucket, key, answer["ContentLength"], answer["ETag"]), answer.get("Metadata", {}).get(MARK)

    async def _explain(self, bucket: str, key: str) -> None:
        (await self._fs._call_s3("get_object", Bucket=bucket, Key=key))["Body"].close()

    async def _read(self, path: str, start: int, end: int | None, version: str | None) -> bytes:
        if start == end:
            return b""
        bucket, key = self._key(path)
        named = {} if version is None else {"IfMatch": f'"{version}"'}

        async def request() -> tuple[bytes, str]:
            try:
                return await read_body(self._fs, bucket, key, start, end, named)
            except OSError as error:
                if answer_of(error)[1] == 412 and version is not None:
                    raise version_changed(f"s3://{bucket}/{key}", version) from error
                raise

        data, etag = await self._retry(request)
        if version is not None and etag != version:  # not every server knows If-Match
            raise version_changed(f"s3://{bucket}/{key}", version, etag)
        return check_length(data, start, end)

    async def _read_present(self, path: str, info: ObjectInfo | None) -> bytes | None:
        try:
            data = await self._read(path, 0, None, None)
        except FileNotFoundError:
            return None
        if info is not None and len(data) != info.size_bytes:
            raise version_changed(info.uri, info.version)
        return data

    def _pages(self, method: str, **kwargs: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._wait(self._call(method, **kwargs))
            yield page
            if not page.get("IsTruncated"):
                return
            if method == "list_objects_v2":
                kwargs["ContinuationToken"] = page["NextContinuationToken"]
            else:
                kwargs |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def _call(self, method: str, **kwargs: Any) -> Any:
        return await self._retry(lambda: self._fs._call_s3(method, **kwargs))

    async def _retry(self, request: Callable[[], Awaitable[T]]) -> T:
        return await retry(request, self._patience_seconds)

    def _wait(self, request: Coroutine[Any, Any, T]) -> T:
        return run_coroutine_threadsafe(request, self._fs.loop).result()

    def _key(self, path: str) -> tuple[str, str]:
        return self._fs._find_bucket_key(path)  # not `split_path`, which takes `?versionId=` out of a name

    def _out(self, bucket: str, folder: str) -> str:
        """The prefix of keys in a folder that is left out; nothing where it lies elsewhere."""
        if kind_of(folder) != "s3":
            return ""
        other, prefix = self._folder(self.path(folder))
        return prefix if other == bucket else ""

    def _folder(self, path: str) -> tuple[str, str]:
        bucket, key = self._key(path)
        return bucket, key if not key or key.endswith("/") else f"{key}/"


def s3_info(bucket: str, key: str, size_bytes: int, etag: str) -> ObjectInfo:
    return ObjectInfo(uri=f"s3://{bucket}/{key}", size_bytes=size_bytes, version=etag.strip('"'))
