"""The cache of shard indexes below an output: one Parquet object per version of a tar shard, created once.

A cached index holds what `members.index_members` returned; no header of that shard version is read again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa

from framegate.pipelines.source.found import ABSENT
from framegate.pipelines.source.members import ShardIndex, ShardMember, index_members
from framegate.pipelines.store import ObjectInfo, Store, join
from framegate.pipelines.store.parquet import encode_parquet, parse_parquet
from framegate.schemas.clip import Refusal, Video
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import ObjectNotFound, StorageError, VersionChanged
from framegate.schemas.keys import index_digest
from framegate.schemas.retries import SOURCE_GONE
from framegate.schemas.uris import with_access

INDEX_FORMAT = 2  # raised when a cached index would no longer be what `index_members` returns
PUT_THREADS = 16
ATTEMPTS = 3  # to index a shard that is replaced meanwhile

_REFUSAL = pa.struct([pa.field("reason", pa.string()), pa.field("message", pa.string())])
_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("offset_bytes", pa.int64(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("texts", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("refusal", _REFUSAL),
    ]
)
_METADATA = b"framegate_shard"
_WHAT, _CURE = "index of a shard", "delete it to have it made again"


@dataclass(frozen=True, kw_only=True)
class ShardIndexCache:
    """Indexes below the output `root` in `store`. New ones are held in memory until `keep` stores them.

    num_ignored   by shard URI, filled as shards are opened: members passed over, by extension (see `ShardIndex`)
    new           by their own URIs, the indexes that were made here: some 20 bytes a member
    """

    store: Store
    root: str
    num_ignored: dict[str, Mapping[str, int]] = field(default_factory=dict)
    new: dict[str, bytes] = field(default_factory=dict)

    @staticmethod
    def of(config: OutputConfig) -> ShardIndexCache:
        """Of a job's output."""
        return ShardIndexCache(store=Store(config.storage_options, single_writer=config.single_writer), root=config.uri)

    def count_ignored(self) -> dict[str, int]:
        """Members that were passed over, by extension, the most frequent first."""
        counts = sum((Counter(by_extension) for by_extension in self.num_ignored.values()), Counter())
        return dict(counts.most_common())

    def keep(self) -> None:
        """Stores the indexes that are new. Raises StorageError."""
        with ThreadPoolExecutor(PUT_THREADS) as threads:
            for _ in threads.map(self.store.put_once, self.new, self.new.values()):
                pass  # raises what a put raised
        self.new.clear()

    def uri(self, shard: ObjectInfo) -> str:
        return join(self.root, "indexes", f"{index_digest(shard.uri, shard.version, INDEX_FORMAT)}.parquet")


def open_index(store: Store, shard: ObjectInfo, cache: ShardIndexCache | None) -> tuple[ObjectInfo, ShardIndex]:
    """The index of a shard, and the shard at the version that was indexed: the newer one if it changes meanwhile.

    A shard that is deleted, or is replaced again and again, has the version ABSENT: it counts as new in a later run.
    Raises StorageError.
    """
    message = f"The shard was replaced {ATTEMPTS} times while it was indexed; run again when it is at rest."
    refusal = Refusal(reason="source_changed", message=message)
    for _ in range(ATTEMPTS):
        index = _cached(shard, cache)
        if index is None:
            try:
                index = _read(store, shard)
            except VersionChanged:
                shard = _newer(store, shard)
                continue
            except ObjectNotFound:
                refusal = Refusal(reason=SOURCE_GONE, message="The shard was deleted while it was indexed.")
                break
            if cache is not None:
                cache.new[cache.uri(shard)] = to_parquet(index, shard)
        if cache is not None:
            cache.num_ignored[shard.uri] = index.num_ignored
        return shard, index
    return replace(shard, version=ABSENT), ShardIndex(members=(), refusal=refusal)


def _cached(shard: ObjectInfo, cache: ShardIndexCache | None) -> ShardIndex | None:
    if cache is None:
        return None
    uri = cache.uri(shard)
    try:
        data = cache.new.get(uri) or cache.store.read(uri)
    except ObjectNotFound:
        return None
    try:
        return from_parquet(uri, data)
    except (KeyError, ValueError) as error:
        raise StorageError(f"{uri} is no {_WHAT} ({error}); {_CURE}") from error


def _read(store: Store, shard: ObjectInfo) -> ShardIndex:
    whole = Video(uri=shard.uri, version=shard.version, size_bytes=shard.size_bytes, access=shard.access)
    with store.open_pinned(whole) as pinned:
        return index_members(pinned.read, pinned.size_bytes)


def _newer(store: Store, shard: ObjectInfo) -> ObjectInfo:
    try:
        return store.stat(with_access(shard.uri, shard.access))
    except ObjectNotFound:
        return shard  # the next attempt finds nothing


def to_parquet(index: ShardIndex, shard: ObjectInfo) -> bytes:
    """One row per member; what is said of the shard as a whole, in the metadata. Same index, same bytes."""
    rows = [{**asdict(member), "texts": sorted(member.texts.items())} for member in index.members]
    about = {
        "uri": shard.uri,
        "version": shard.version,
        "refusal": None if index.refusal is None else asdict(index.refusal),
        "num_ignored": dict(index.num_ignored),
    }
    schema = _SCHEMA.with_metadata({_METADATA: json.dumps(about, sort_keys=True)})
    return encode_parquet(pa.Table.from_pylist(rows, schema=schema), write_page_index=False)


def from_parquet(uri: str, data: bytes) -> ShardIndex:
    """What `to_parquet` packed. Raises StorageError, KeyError or ValueError where it is something else."""
    table = parse_parquet(uri, data, what=_WHAT, cure=_CURE)
    about = json.loads((table.schema.metadata or {})[_METADATA])
    return ShardIndex(
        members=tuple(_member(row) for row in table.select(_SCHEMA.names).to_pylist()),
        refusal=_refusal(about["refusal"]),
        num_ignored=about["num_ignored"],
    )


def _member(row: Mapping) -> ShardMember:
    return ShardMember(**{**row, "texts": dict(row["texts"]), "refusal": _refusal(row["refusal"])})


def _refusal(values: Mapping[str, str] | None) -> Refusal | None:
    return None if values is None else Refusal(**values)
