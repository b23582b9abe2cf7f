"""Everything in an output that mentions some videos: rows, journal, attempts, indexes, records.

Of a table only the column of URIs is read, and of that only the row groups whose statistics leave room for a target.
Nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.commit.layout import TOGETHER
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.plan_history import list_plans, read_plans
from framegate.pipelines.commit.run_history import parse_history
from framegate.pipelines.commit.runs import parse_record
from framegate.pipelines.commit.unit_format import parse_unit
from framegate.pipelines.erase.targets import Targets
from framegate.pipelines.store import ObjectInfo, Store
from framegate.pipelines.store.parquet import read_columns, read_parquet
from framegate.schemas.errors import ObjectNotFound, StorageError

READ_THREADS = 8  # files whose column of URIs is read at the same time
SEARCHED_TABLES = ("results", "failures", "clips", "videos", "plans")
SHARD_METADATA = b"framegate_shard"  # in an index of a shard: a JSON mapping whose `uri` is the shard's


@dataclass(frozen=True, kw_only=True)
class MatchingFile:
    """A sealed file, a part of the log of videos or a plan with rows of the targets.

    table   one of SEARCHED_TABLES
    rows    how many, by URI and video_id
    """

    info: ObjectInfo
    table: str
    rows: Mapping[tuple[str, str], int]


@dataclass(frozen=True, kw_only=True)
class VideoObject:
    """An object of one video: a unit of the journal, a deepened one, an attempt, or a label. Its name says the
    config_id and the video_id."""

    info: ObjectInfo
    config_id: str
    video_id: str


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Everything that mentions a target.

    records     records of runs in which a sentence names one
    set_aside   objects in the quarantine, by the video that their names say
    reports     every report: it may show any video, by name, by picture or in a sum
    video_ids   of each URI that was found in rows or in the journal: one for each version of the video
    members     URIs of shards' members that an index names
    """

    files: tuple[MatchingFile, ...]
    journal: tuple[VideoObject, ...]
    attempts: tuple[VideoObject, ...]
    labels: tuple[VideoObject, ...]
    set_aside: tuple[VideoObject, ...]
    indexes: tuple[ObjectInfo, ...]
    records: tuple[ObjectInfo, ...]
    reports: tuple[ObjectInfo, ...]
    video_ids: Mapping[str, frozenset[str]]
    members: frozenset[str]

    @property
    def is_empty(self) -> bool:
        of_videos = self.files or self.journal or self.attempts or self.labels or self.set_aside
        return not (of_videos or self.indexes or self.records or self.reports)


def find_matches(output: Output, targets: Targets) -> Matches:
    """Searches the whole output, fresh from storage. Raises StorageError."""
    # Journal objects are listed before tables are read: what a sealer moves in between is then found in a table.
    aside = [*_objects(output.store, output.layout.folder("quarantine"), depth=1)]
    folders = [output.layout.folder(folder) for folder in ("journal", "deepened")]
    journal = [item for folder in folders for item in _objects(output.store, folder, depth=1)]
    attempts = list(_attempts(output))
    labels = list(_objects(output.store, output.layout.folder("labels"), depth=1))
    files = _search_tables(output, targets)
    ids: dict[str, set[str]] = {}
    for file in files:
        for uri, video_id in file.rows:
            ids.setdefault(uri, set()).add(video_id)
    for uri, video_id in _search_journal(output, targets, journal):
        ids.setdefault(uri, set()).add(video_id)
    found = frozenset().union(*ids.values())
    indexes, members = _search_indexes(output, targets)
    return Matches(
        files=tuple(files),
        journal=tuple(item for item in journal if item.video_id in found),
        attempts=tuple(item for item in attempts if item.video_id in found),
        labels=tuple(item for item in labels if item.video_id in found),
        set_aside=tuple(item for item in aside if item.video_id in found),
        indexes=tuple(indexes),
        records=tuple(_search_records(output, targets)),
        reports=tuple(output.list("reports")),
        video_ids={uri: frozenset(ids[uri]) for uri in sorted(ids)},
        members=frozenset(members),
    )


def _objects(store: Store, folder: str, *, depth: int) -> Iterator[VideoObject]:
    """Objects that lie `depth` folders below config_id=, the first of which is named by a video_id."""
    for info in store.list(folder):
        partition, video_id = info.uri.rsplit("/", depth + 2)[-depth - 2 : -depth]
        yield VideoObject(info=info, config_id=partition.removeprefix("config_id="), video_id=video_id)


def _attempts(output: Output) -> Iterator[VideoObject]:
    """Markers of attempts, one that names several videos once for each of them: what it tells of the others goes too.

    So these may have one attempt more than a job allows.
    """
    shared: dict[str, VideoObject] = {}
    for item in _objects(output.store, output.layout.folder("attempts"), depth=2):
        if item.info.uri.rsplit("/", 2)[-2].startswith(TOGETHER):
            shared[item.info.uri] = item
        else:
            yield item
    for uri, data in output.store.read_present(shared):
        for name in parse_record(uri, data).get("works", ()) if data is not None else ():
            yield replace(shared[uri], video_id=name.partition("/")[0])


def _search_tables(output: Output, targets: Targets) -> list[MatchingFile]:
    def search(table: str, info: ObjectInfo) -> MatchingFile | None:
        rows = _rows_of(output.store, info, targets)
        return MatchingFile(info=info, table=table, rows=rows) if rows else None

    history = output.layout.plan_history
    candidates = [(table, info) for table in SEARCHED_TABLES for info in _parquet_files(output, table)]
    with ThreadPoolExecutor(READ_THREADS) as threads:
        found = [*threads.map(lambda candidate: search(*candidate), candidates)]
    with suppress(ObjectNotFound):  # after the plans: what is folded meanwhile moves there
        found.append(search("plans", output.store.stat(history)))
    return [file for file in found if file is not None]


def _parquet_files(output: Output, table: str) -> list[ObjectInfo]:
    """Without the history of plans."""
    if table == "plans":
        return list_plans(output)
    return [info for info in output.list(table) if info.uri.endswith(".parquet")]


def _rows_of(store: Store, info: ObjectInfo, targets: Targets) -> dict[tuple[str, str], int]:
    """How many rows a file has of each (URI, video_id) of a target; none where it was folded into another meanwhile."""
    try:
        return read_parquet(store, info.uri, lambda file: _count_rows(file, targets))
    except ObjectNotFound:
        return {}


def _count_rows(file: pq.ParquetFile, targets: Targets) -> dict[tuple[str, str], int]:
    groups = [number for number in range(file.num_row_groups) if _may_hold(file.metadata.row_group(number), targets)]
    if not groups:
        return {}
    column = file.read_row_groups(groups, columns=["video_uri"]).column("video_uri")
    uris = targets.among(column.unique().to_pylist())
    if not uris:
        return {}
    rows = file.read_row_groups(groups, columns=["video_uri", "video_id"])
    rows = rows.filter(pc.field("video_uri").isin(list(uris)))
    counted = rows.group_by(["video_uri", "video_id"]).aggregate([([], "count_all")]).to_pylist()
    return {(row["video_uri"], row["video_id"]): row["count_all"] for row in counted}


def _may_hold(group: pq.RowGroupMetaData, targets: Targets) -> bool:
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == "video_uri":
            statistics = column.statistics
            if statistics is None or not statistics.has_min_max:
                return True
            return targets.may_lie_between(statistics.min, statistics.max)
    return True


def _search_journal(output: Output, targets: Targets, journal: Iterable[VideoObject]) -> Iterator[tuple[str, str]]:
    """(URI, video_id) of the targets in the journal that no plan names. One object of each such video is read."""
    one_of_each = {item.video_id: item.info.uri for item in journal}
    for _, planned in read_plans(output, ["video_id"]):
        if not one_of_each:
            return
        known = planned.filter(pc.field("video_id").isin(list(one_of_each)))
        for video_id in known.column("video_id").to_pylist():
            one_of_each.pop(video_id, None)
    for video_id, uri in one_of_each.items():
        try:
            data = output.store.read(uri)
        except ObjectNotFound:
            continue  # sealed meanwhile
        try:
            uris = parse_unit(uri, data, ["video_uri"]).column("video_uri").unique().to_pylist()
        except StorageError as error:
            raise StorageError(f"{error}; `framegate seal` sets it aside: do that, and erase again") from error
        yield from ((found, video_id) for found in targets.among(uris))


def _search_indexes(output: Output, targets: Targets) -> tuple[list[ObjectInfo], set[str]]:
    """The indexes that name a target, shard or member, and the targets' URIs in them."""
    indexes, named = [], set()
    for info in _parquet_files(output, "indexes"):
        try:
            table = read_columns(output.store, info.uri, ["name"])
        except ObjectNotFound:
            continue  # deleted by another erasure
        try:
            shard = json.loads((table.schema.metadata or {})[SHARD_METADATA])["uri"]
        except (KeyError, ValueError, TypeError) as error:
            raise StorageError(f"{info.uri} is no index of a shard ({error}); delete it and go on") from error
        found = targets.among([shard, *(f"{shard}#{name}" for name in table.column("name").to_pylist())])
        if found:
            indexes.append(info)
            named |= found
    return indexes, named


def _search_records(output: Output, targets: Targets) -> Iterator[ObjectInfo]:
    infos = {info.uri: info for info in output.list("runs") if info.uri.endswith(".json")}
    for uri, data in output.store.read_present(infos):
        if data is not None and any(targets.named_in(text) for text in _texts(parse_record(uri, data))):
            yield infos[uri]
    with suppress(ObjectNotFound):  # after the objects: what is folded meanwhile moves there
        history = output.store.stat(output.layout.run_history)
        records = parse_history(history.uri, output.store.read(history.uri)).records
        if any(targets.named_in(text) for text in _texts(records)):
            yield history


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
