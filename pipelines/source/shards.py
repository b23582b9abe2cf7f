"""Tar shards as videos: which names are shards, and a Video for each member.

What a member is `members` knows, how an index of them is kept `indexes` knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.source.found import ABSENT, Found
from pipelines.source.indexes import Indexes, open_index
from pipelines.source.members import ShardIndex, ShardMember
from pipelines.store import ObjectInfo, Store
from schemas.clip import Member, Refusal, Video
from schemas.errors import InputError

INDEX_THREADS = 32

_MEMBER_OF_SHARD = re.compile(r"(.+?\.tar)#(?:\./)*(.+)", re.IGNORECASE | re.DOTALL)
_PACKED = re.compile(r".*\.(tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst|lz4|br|z))", re.IGNORECASE | re.DOTALL)


def split_member(name: str) -> tuple[str, str | None]:
    """`x.tar#member` as its two parts; any other name as it is, and None."""
    match = _MEMBER_OF_SHARD.fullmatch(name)
    return (match[1], match[2]) if match else (name, None)


def open_shards(store: Store, found: Iterable[Found], indexes: Indexes | None) -> Iterator[Video]:
    """A video for each object, and for each shard one for each of its members, in the order given.

    Shards are indexed once, many at the same time. What is wrong with a shard is a row of its own. Raises StorageError;
    InputError where a column of a manifest and a side file have one name.
    """
    everything = list(found)
    shards = {one.info.uri: one.info for one in everything if _is_shard(one.info)}
    with ThreadPoolExecutor(INDEX_THREADS) as threads:
        opened = dict(
            zip(shards, threads.map(lambda info: open_index(store, info, indexes), shards.values()), strict=True)
        )
    named = {one.info.uri for one in everything if one.member is not None} & set(opened)
    members = {uri: {member.name: member for member in opened[uri][1].members} for uri in named}
    for one in everything:
        if one.info.uri not in opened:
            yield _object(one)
            continue
        info, index = opened[one.info.uri]
        if one.member is None:
            yield from (_video(info, member, one) for member in index.members)
            if index.refusal is not None:
                yield _refused(info, one, index.refusal)
        elif one.member in members[info.uri]:
            yield _video(info, members[info.uri][one.member], one)
        else:
            yield _refused(info, one, index.refusal or _no_such_member(index))


def _is_shard(info: ObjectInfo) -> bool:
    return info.uri.lower().endswith(".tar") and info.version != ABSENT


def _object(one: Found) -> Video:
    refusal = None
    if _PACKED.fullmatch(one.info.uri):
        message = "A compressed tar archive is not read; give its videos as a plain .tar."
        refusal = Refusal(reason="not_video", message=message)
    return Video(
        uri=one.uri,
        version=one.info.version,
        size_bytes=one.info.size_bytes,
        inputs=one.inputs,
        refusal=refusal,
    )


def _video(info: ObjectInfo, member: ShardMember, one: Found) -> Video:
    both = sorted(member.texts.keys() & one.inputs.keys())
    if both:
        raise InputError(
            f"the manifest has a column `{both[0]}`, and {info.uri} a side file of that name for {member.name};"
            " rename the column"
        )
    return Video(
        uri=f"{info.uri}#{member.name}",
        version=info.version,
        size_bytes=member.size_bytes,
        inputs={**one.inputs, **member.texts},
        member=Member(name=member.name, offset_bytes=member.offset_bytes),
        refusal=member.refusal,
    )


def _refused(info: ObjectInfo, one: Found, refusal: Refusal) -> Video:
    size_bytes = info.size_bytes if one.member is None else 0
    return Video(uri=one.uri, version=info.version, size_bytes=size_bytes, inputs=one.inputs, refusal=refusal)


def _no_such_member(index: ShardIndex) -> Refusal:
    message = f"The shard has no video of this name; it has {len(index.members):,} others."
    return Refusal(reason="storage", message=message)
