"""The store's description of an object, the same for every kind of storage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fsspec import AbstractFileSystem


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectInfo:
    """One object. `version` changes when its bytes do: the etag, else size and modification time.

    `access` is the query that an http URL was asked with, which may be a secret (`schemas.uris`).
    """

    uri: str
    size_bytes: int
    version: str
    access: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """What `put_once` met.

    created  no object was there before
    same     one was there and has the same bytes. `created` implies it
    """

    created: bool
    same: bool

    @property
    def is_ours(self) -> bool:
        """Whether the object holds the bytes that were put: created now, or by a request whose reply was lost."""
        return self.created or self.same


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenUpload:
    """A multipart upload that was begun and neither completed nor aborted; no listing shows its parts."""

    uri: str
    upload_id: str
    started: datetime


def join(root: str, *parts: str) -> str:
    """`root/part/part` with exactly one slash between them."""
    return "/".join([root.rstrip("/"), *parts])


def bucket_of(uri: str) -> str:
    """The bucket that an object lies in; of a local path the root."""
    protocol, bucket = re.match(r"(?:([^:/]+://)([^/]*))?", uri).groups()  # type: ignore[union-attr]
    return f"{protocol}{bucket}" if bucket else "/"


def file_version(stat: os.stat_result) -> str:
    """The version of a local file."""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def object_info(fs: AbstractFileSystem, info: Mapping[str, Any]) -> ObjectInfo:
    """What `fs.info` says of an object that is no local file."""
    size_bytes = info["size"] or 0
    changed = info.get("LastModified") or info.get("mtime") or info.get("created") or ""
    if isinstance(changed, datetime):  # one and the same file system gives now this, now seconds
        changed = changed.timestamp()
    version = str(info.get("ETag") or "").strip('"') or f"{size_bytes}-{changed}"
    return ObjectInfo(uri=fs.unstrip_protocol(info["name"]), size_bytes=size_bytes, version=version)


def is_hidden(below: str) -> bool:
    """Whether a name below a prefix has a part that starts with a dot: temporary and system files."""
    return below.startswith(".") or "/." in below
