"""Objects in S3 and whatever speaks its language: created and replaced by conditional requests.

Every failed try is seen and retried. A write whose answer was lost meets its own object the next time and tells it from
another writer's: by its bytes after a create, by a mark after a replacement.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import ClassVar

from framegate.pipelines.store.backend import version_changed
from framegate.pipelines.store.errors import TRANSIENT_CODES, TransientError, answer_of
from framegate.pipelines.store.object_info import ObjectInfo, Put
from framegate.pipelines.store.s3_reader import MARK, S3Reader, s3_info
from framegate.schemas.errors import StorageError


class VersionMismatch(OSError):
    """The object has another version. Found by looking, where a conditional request would be answered with 412."""


class S3Objects(S3Reader):
    """A Backend over s3fs."""

    DELETE_MANY: ClassVar[int] = 1000

    def put_once(self, path: str, data: bytes) -> Put:
        return self._wait(self._retry(lambda: self._put_once(path, data)))

    def replace(self, path: str, data: bytes, version: str) -> ObjectInfo:
        mark = uuid.uuid4().hex
        return self._wait(self._retry(lambda: self._replace(path, data, version, mark)))

    def delete(self, paths: Sequence[str]) -> None:
        keys: dict[str, list[str]] = {}
        for path in paths:
            bucket, key = self._key(path)
            keys.setdefault(bucket, []).append(key)
        for bucket, some in keys.items():
            self._wait(self._delete(bucket, some))

    async def _put_once(self, path: str, data: bytes) -> Put:
        """One try."""
        bucket, key = self._key(path)
        if self._single_writer:
            same = await self._same(path, data)
            if same is not None:
                return Put(created=False, same=same)
        # One PUT and no multipart upload, whatever the size: the condition then holds for the object as a whole.
        condition = {} if self._single_writer else {"IfNoneMatch": "*"}
        try:
            await self._fs._call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)
            return Put(created=True, same=True)
        except OSError as error:
            if answer_of(error)[1] != 412:
                raise
            same = await self._same(path, data)
            if same is None:
                raise TransientError("the object was there, and is not any more") from error
            return Put(created=False, same=same)

    async def _replace(self, path: str, data: bytes, version: str, mark: str) -> ObjectInfo:
        """One try. Our mark on what is there is the sign that an earlier one was applied and lost its answer.

        Not only an earlier one of ours: aiohttp, too, sends a PUT again when a kept connection turns out to be closed.
        The bytes would not do as a sign: another writer may have come to the same ones, and must not be counted twice.
        """
        bucket, key = self._key(path)
        condition = {} if self._single_writer else {"IfMatch": f'"{version}"'}
        marked = {"Bucket": bucket, "Key": key, "Body": data, "Metadata": {MARK: mark}}
        try:
            if self._single_writer and (await self._stat(path)).version != version:
                raise VersionMismatch
            answer = await self._fs._call_s3("put_object", **marked, **condition)
            return s3_info(bucket, key, len(data), answer["ETag"])
        except OSError as error:
            if answer_of(error)[1] != 412 and not isinstance(error, VersionMismatch):
                raise
            found, found_mark = await self._look(path)
            if found_mark == mark:
                return found
            raise version_changed(found.uri, version, found.version) from error

    async def _same(self, path: str, data: bytes) -> bool | None:
        """Whether the object has these bytes; None where there is none."""
        try:
            found = await self._stat(path)
            if found.size_bytes != len(data):
                return False
            if found.version == hashlib.md5(data, usedforsecurity=False).hexdigest():  # where the server keeps to that
                return True
            return await self._read(path, 0, None, None) == data
        except FileNotFoundError:
            return None

    async def _delete(self, bucket: str, keys: Sequence[str]) -> None:
        """A key that is gone is deleted once more: that is no error."""
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}

        async def request() -> None:
            answer = await self._fs._call_s3("delete_objects", Bucket=bucket, Delete=wanted)
            errors = [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]
            if errors:
                words = f"{errors[0].get('Key')}: {errors[0].get('Code')}: {errors[0].get('Message')}"
                if all(error.get("Code") in TRANSIENT_CODES for error in errors):
                    raise TransientError(words)
                raise StorageError(
                    f"cannot delete {len(errors)} of {len(keys)} objects of s3://{bucket}, first {words}"
                )

        await self._retry(request)
