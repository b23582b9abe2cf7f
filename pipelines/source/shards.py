"""Tar shards as videos: which names are shards, and a row for each of their members.

`members` finds the members of a shard, and `index_cache` keeps the list of them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.source.found import ABSENT, NOT_THERE, UNREADABLE, FoundRows
from framegate.pipelines.source.index_cache import ShardIndexCache, open_index
from framegate.pipelines.source.members import ShardIndex, ShardMember
from framegate.pipelines.store import ObjectInfo, Store
from framegate.schemas.clip import Member, Refusal
from framegate.schemas.errors import InputError
from framegate.schemas.retries import NOT_FOUND
from framegate.schemas.tables import INPUT_PREFIX

INDEX_THREADS = 32
MAX_OPEN_INDEXES = 2 * INDEX_THREADS  # indexes in memory at once, up to a million members each

_MEMBER_OF_SHARD = re.compile(r"(.+?\.tar)#(?:\./)*(.+)", re.IGNORECASE | re.DOTALL)
_PACKED = (".tgz", ".tbz", ".tbz2", ".txz", ".tzst",
           *(f".tar.{packer}" for packer in ("gz", "bz2", "xz", "zst", "lz4", "br", "z")))  # fmt: skip


def split_member(name: str) -> tuple[str, str | None]:
    """`x.tar#member` as its two parts; any other name as it is, and None."""
    match = _MEMBER_OF_SHARD.fullmatch(name) if "#" in name else None
    return (match[1], match[2]) if match else (name, None)


def are_members(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which URIs may be those of members: `split_member` for a column."""
    return pc.call_function("match_substring", [uris], pc.MatchSubstringOptions(".tar#", ignore_case=True))


def shards_of(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """The URIs of the shards that members belong to; any other URI as it is."""
    options = pc.ReplaceSubstringOptions(pattern=r"(?is)^(.+?\.tar)#.*$", replacement=r"\1")
    return pc.call_function("replace_substring_regex", [uris], options)


def is_shard(info: ObjectInfo) -> bool:
    """Whether an object is taken for a shard: by its name, where it is there."""
    return info.uri.lower().endswith(".tar") and info.version not in (ABSENT, UNREADABLE)


def add_object(
    rows: FoundRows, order: int, info: ObjectInfo, member: str | None, refusal: Refusal | None = None
) -> None:
    """The row of an object that is not a shard, or of a member of a missing shard."""
    uri = info.uri if member is None else f"{info.uri}#{member}"
    if refusal is None and info.version == ABSENT:
        refusal = NOT_THERE
    if refusal is None and info.uri.lower().endswith(_PACKED):
        message = "A compressed tar archive is not read; give its videos as a plain .tar."
        refusal = Refusal(reason="not_video", message=message)
    rows.add(order, uri, info.version, info.size_bytes, refusal=refusal, access=info.access)


@dataclass
class _NamedShard:
    """A shard that the input names, as a whole or by members, each with its place in the input."""

    info: ObjectInfo
    whole: list[int] = field(default_factory=list)
    members: list[tuple[int, str]] = field(default_factory=list)


class NamedShards:
    """The shards that the input names, collected before they are opened: each one once."""

    def __init__(self) -> None:
        self._named: dict[str, _NamedShard] = {}

    def add(self, order: int, info: ObjectInfo, member: str | None) -> None:
        named = self._named.setdefault(info.uri, _NamedShard(info))
        if member is None:
            named.whole.append(order)
        else:
            named.members.append((order, member))

    def open(
        self,
        store: Store,
        cache: ShardIndexCache | None,
        rows: FoundRows,
        *,
        columns: frozenset[str],
        literal: Callable[[str], ObjectInfo | None],
    ) -> None:
        """Adds a row for each member that was named, many shards at a time. A refused shard is a row, too.

        `columns` are those of the manifest, with their prefix; `literal` finds the object of just some name. Raises
        StorageError; InputError where a column and a side file have one name.
        """
        for named, (info, index) in _opened(store, cache, self._named.values()):
            for order in named.whole[:1]:  # the same rows again would be left out
                for member in index.members:
                    _add_member(rows, order, info, member, columns)
                if index.refusal is not None:
                    rows.add(order, info.uri, info.version, info.size_bytes, refusal=index.refusal)
            if named.members:
                members = {member.name: member for member in index.members}
                for order, name in named.members:
                    if name in members:
                        _add_member(rows, order, info, members[name], columns)
                    elif index.refusal is not None:
                        rows.add(order, f"{info.uri}#{name}", info.version, 0, refusal=index.refusal)
                    elif (found := literal(f"{info.uri}#{name}")) is not None:  # an object that has just this name
                        add_object(rows, order, found, None)
                    else:
                        rows.add(order, f"{info.uri}#{name}", ABSENT, 0, refusal=_no_such_member(index))


def _opened(
    store: Store, cache: ShardIndexCache | None, shards: Iterable[_NamedShard]
) -> Iterator[tuple[_NamedShard, tuple[ObjectInfo, ShardIndex]]]:
    """Each shard with its index, in order; at most MAX_OPEN_INDEXES are read ahead."""
    waiting: deque[tuple[_NamedShard, Future[tuple[ObjectInfo, ShardIndex]]]] = deque()
    with ThreadPoolExecutor(INDEX_THREADS) as threads:
        try:
            for named in shards:
                waiting.append((named, threads.submit(open_index, store, named.info, cache)))
                if len(waiting) == MAX_OPEN_INDEXES:
                    named, opened = waiting.popleft()
                    yield named, opened.result()
            while waiting:
                named, opened = waiting.popleft()
                yield named, opened.result()
        finally:  # where one of them raised, the others need not begin
            threads.shutdown(cancel_futures=True)


def _add_member(rows: FoundRows, order: int, info: ObjectInfo, member: ShardMember, columns: frozenset[str]) -> None:
    both = sorted(name for name in member.texts if INPUT_PREFIX + name in columns)
    if both:
        raise InputError(
            f"the manifest has a column `{both[0]}`, and {info.uri} a side file of that name for {member.name};"
            " rename the column"
        )
    rows.add(
        order,
        f"{info.uri}#{member.name}",
        info.version,
        member.size_bytes,
        member=Member(name=member.name, offset_bytes=member.offset_bytes),
        texts=member.texts,
        refusal=member.refusal,
        access=info.access,
    )


def _no_such_member(index: ShardIndex) -> Refusal:
    message = f"The shard has no video of this name; it has {len(index.members):,} others."
    return Refusal(reason=NOT_FOUND, message=message)
