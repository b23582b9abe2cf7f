"""Tar archives made for a test, and what their index says."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from framegate.pipelines.source.members import ShardIndex, ShardMember, index_members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}

Entry = tuple[str, bytes] | tarfile.TarInfo


def make_tar(*entries: Entry, format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of files as (name, bytes), and of other members as they are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return file.getvalue()


def make_info(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def index(data: bytes) -> ShardIndex:
    return index_members(lambda start, end: data[start:end], len(data))


def content(data: bytes, member: ShardMember) -> bytes:
    return data[member.offset_bytes : member.offset_bytes + member.size_bytes]


def by_name(found: Iterable[ShardMember]) -> dict[str, ShardMember]:
    return {member.name: member for member in found}


def reasons(data: bytes) -> dict[str, str | None]:
    return {member.name: member.refusal and member.refusal.reason for member in index(data).members}
