"""What an output holds of some videos, in whatever table, record or index: to erase it, or to say so before.

Reads the column of URIs alone, and of it the row groups whose statistics leave room for a wanted one. Changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.commit.journal import from_parquet
from framegate.pipelines.commit.output import Output
from framegate.pipelines.erase.targets import Wanted
from framegate.pipelines.store import ObjectInfo, Store
from framegate.schemas.errors import ObjectNotFound, StorageError

READ_THREADS = 8  # files whose column of URIs is read at the same time
TABLES = ("results", "failures", "plans")
SHARD_METADATA = b"framegate_shard"  # in an index of a shard: a JSON mapping whose `uri` is the shard's


@dataclass(frozen=True, kw_only=True)
class HeldFile:
    """A sealed file or a plan with rows of wanted videos: by URI and video_id, how many. `table` is one of TABLES."""

    info: ObjectInfo
    table: str
    rows: Mapping[tuple[str, str], int]


@dataclass(frozen=True, kw_only=True)
class HeldObject:
    """An object of one video: a unit of the journal, or an attempt. Its name says the config_id and the video_id."""

    info: ObjectInfo
    config_id: str
    video_id: str


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """Everything that names a wanted video; the records are those of runs, where a sentence names it.

    video_ids   of each URI that was found in rows or in the journal: one for each version of the video
    members     URIs of shards' members that an index names
    """

    files: tuple[HeldFile, ...]
    journal: tuple[HeldObject, ...]
    attempts: tuple[HeldObject, ...]
    indexes: tuple[ObjectInfo, ...]
    records: tuple[ObjectInfo, ...]
    video_ids: Mapping[str, frozenset[str]]
    members: frozenset[str]

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.journal or self.attempts or self.indexes or self.records)


def find_holdings(output: Output, wanted: Wanted) -> Holdings:
    """All that the output holds of the wanted videos, fresh from storage. Raises StorageError."""
    # Objects are listed before tables are read: what a sealer moves meanwhile is then met in the table.
    journal = list(_objects(output.store, output.layout.folder("journal"), depth=1))
    attempts = list(_objects(output.store, output.layout.folder("attempts"), depth=2))
    files = _search_tables(output, wanted)
    ids: dict[str, set[str]] = {}
    for file in files:
        for uri, video_id in file.rows:
            ids.setdefault(uri, set()).add(video_id)
    for uri, video_id in _search_journal(output, wanted, journal):
        ids.setdefault(uri, set()).add(video_id)
    found = frozenset().union(*ids.values())
    indexes, members = _search_indexes(output, wanted)
    return Holdings(
        files=tuple(files),
        journal=tuple(held for held in journal if held.video_id in found),
        attempts=tuple(held for held in attempts if held.video_id in found),
        indexes=tuple(indexes),
        records=tuple(_search_records(output, wanted)),
        video_ids={uri: frozenset(ids[uri]) for uri in sorted(ids)},
        members=frozenset(members),
    )


def _objects(store: Store, folder: str, *, depth: int) -> Iterator[HeldObject]:
    """Objects that lie `depth` folders below config_id=, the first of which is named by a video_id."""
    for info in store.list(folder):
        partition, video_id = info.uri.rsplit("/", depth + 2)[-depth - 2 : -depth]
        yield HeldObject(info=info, config_id=partition.removeprefix("config_id="), video_id=video_id)


def _search_tables(output: Output, wanted: Wanted) -> list[HeldFile]:
    def search(table: str, info: ObjectInfo) -> HeldFile | None:
        rows = _rows_of(output.store, info, wanted)
        return HeldFile(info=info, table=table, rows=rows) if rows else None

    candidates = [(table, info) for table in TABLES for info in _parquet_files(output, table)]
    with ThreadPoolExecutor(READ_THREADS) as threads:
        return [held for held in threads.map(lambda candidate: search(*candidate), candidates) if held is not None]


def _parquet_files(output: Output, table: str) -> list[ObjectInfo]:
    return [info for info in output.list(table) if info.uri.endswith(".parquet")]


@contextmanager
def _open_parquet(store: Store, uri: str) -> Iterator[pq.ParquetFile]:
    with store.open_read(uri) as file:
        try:
            yield pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise StorageError(
                f"{uri} is no whole Parquet file ({error}); was it written by something else?"
            ) from error


def _rows_of(store: Store, info: ObjectInfo, wanted: Wanted) -> dict[tuple[str, str], int]:
    """How many rows a file has of each wanted (URI, video_id)."""
    while True:
        try:
            return _count_rows(store, info.uri, wanted)
        except StorageError:
            newer = store.stat(info.uri)
            if newer.version == info.version:
                raise
            info = newer  # replaced by another erasure between two reads of it


def _count_rows(store: Store, uri: str, wanted: Wanted) -> dict[tuple[str, str], int]:
    with _open_parquet(store, uri) as file:
        groups = [number for number in range(file.num_row_groups) if _may_hold(file.metadata.row_group(number), wanted)]
        if not groups:
            return {}
        there = file.read_row_groups(groups, columns=["video_uri"]).column("video_uri")
        uris = wanted.among(there.unique().to_pylist())
        if not uris:
            return {}
        rows = file.read_row_groups(groups, columns=["video_uri", "video_id"])
    rows = rows.filter(pc.field("video_uri").isin(list(uris)))
    counted = rows.group_by(["video_uri", "video_id"]).aggregate([([], "count_all")]).to_pylist()
    return {(row["video_uri"], row["video_id"]): row["count_all"] for row in counted}


def _may_hold(group: pq.RowGroupMetaData, wanted: Wanted) -> bool:
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == "video_uri":
            statistics = column.statistics
            if statistics is None or not statistics.has_min_max:
                return True
            return wanted.may_lie_between(statistics.min, statistics.max)
    return True


def _search_journal(output: Output, wanted: Wanted, journal: Iterable[HeldObject]) -> Iterator[tuple[str, str]]:
    """(URI, video_id) of wanted videos that no plan names. One object of each such video is read, and no more."""
    one_of_each = {held.video_id: held.info.uri for held in journal}
    for info in _parquet_files(output, "plans"):
        if not one_of_each:
            return
        with _open_parquet(output.store, info.uri) as file:
            planned = file.read(columns=["video_id"])
        known = planned.filter(pc.field("video_id").isin(list(one_of_each)))
        for video_id in known.column("video_id").to_pylist():
            one_of_each.pop(video_id, None)
    for video_id, uri in one_of_each.items():
        try:
            data = output.store.read(uri)
        except ObjectNotFound:
            continue  # sealed meanwhile
        uris = from_parquet(uri, data, ["video_uri"]).column("video_uri").unique().to_pylist()
        yield from ((found, video_id) for found in wanted.among(uris))


def _search_indexes(output: Output, wanted: Wanted) -> tuple[list[ObjectInfo], set[str]]:
    """The indexes that name a wanted shard or member, and the URIs that they name."""
    indexes, named = [], set()
    for info in _parquet_files(output, "indexes"):
        try:
            with _open_parquet(output.store, info.uri) as file:
                metadata = file.schema_arrow.metadata or {}
                names = file.read(columns=["name"]).column("name").to_pylist()
        except ObjectNotFound:
            continue  # deleted by another erasure
        try:
            shard = json.loads(metadata[SHARD_METADATA])["uri"]
        except (KeyError, ValueError, TypeError) as error:
            raise StorageError(f"{info.uri} is no index of a shard ({error}); delete it and go on") from error
        found = wanted.among([shard, *(f"{shard}#{name}" for name in names)])
        if found:
            indexes.append(info)
            named |= found
    return indexes, named


def _search_records(output: Output, wanted: Wanted) -> Iterator[ObjectInfo]:
    infos = {info.uri: info for info in output.list("runs") if info.uri.endswith(".json")}
    for uri, data in output.store.read_many(infos):
        if any(wanted.named_in(text) for text in _texts(_parse(uri, data))):
            yield infos[uri]


def _parse(uri: str, data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError as error:
        raise StorageError(f"{uri} is no run record ({error}); was it written by something else?") from error


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
