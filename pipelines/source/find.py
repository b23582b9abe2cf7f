"""What exists: the videos that `input.videos` names, whether as a prefix, a glob, a list, a manifest or tar shards.

Every name counts as a video whatever it ends in, unless that is `.tar`: decoding looks at the content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from framegate.pipelines.source.allowed import Allowed
from framegate.pipelines.source.found import UNREADABLE, FoundRows, unreadable
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.source.input_columns import column_types
from framegate.pipelines.source.manifest import ColumnTypes, Manifest, is_manifest, read_manifest
from framegate.pipelines.source.names import STAT_BATCH, Named, Names, OwnPlace, is_pattern, refuse_secret
from framegate.pipelines.source.shards import NamedShards, add_object, is_shard, split_member
from framegate.pipelines.store import Listing, ObjectInfo, Store
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import InputError
from framegate.schemas.tables import INPUT_PREFIX
from framegate.schemas.uris import public


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an input holds.

    videos         every video once, by URI: a table in FOUND; the columns of a manifest stand beside it with the prefix
                   `input_`. About 200 bytes a video
    columns        of the manifest and of side files, without the prefix: their types, where any row has a value
    names          all columns of them, those without any value, too
    listing        what was passed over in folders
    is_shown       whether the place of an object was listed, so that one which was not found there is gone. A manifest
                   or a list of names says nothing of an object that it does not name
    """

    videos: pa.Table
    columns: Mapping[str, pa.DataType]
    names: frozenset[str]
    listing: Listing
    is_shown: Callable[[str], bool]


def find_videos(config: InputConfig, cache: ShardIndexCache | None = None) -> pa.Table:
    """`find_input`, the videos alone."""
    return find_input(config, cache).videos


def find_input(
    config: InputConfig,
    cache: ShardIndexCache | None = None,
    *,
    types: ColumnTypes | None = None,
    own: OwnPlace | None = None,
) -> Found:
    """Everything that the input names; the members of tar shards come from `cache` where it has them.

    `types` are those of a manifest's columns, `own` is the output of the job, which is no input. Raises InputError
    where there is no video, StorageError, ObjectNotFound.
    """
    store = Store(config.storage_options)
    names = Names(store, Listing(follow_links=config.follow_links), Allowed.of(config), own)
    manifest = _manifest(config.videos, names, store, types)
    if manifest is not None and isinstance(config.videos, str):
        names.allow(Allowed.of(config, config.videos))
    rows = FoundRows()
    _collect(_named(config.videos, manifest, names), rows, store, cache, names, manifest)
    inputs = None if manifest is None else manifest.inputs
    videos = rows.table(inputs)
    if videos.num_rows == 0:
        raise InputError(_nothing(config, names.listing))
    texts = dict.fromkeys(sorted(rows.text_columns), pa.string())
    beside = () if inputs is None else (name.removeprefix(INPUT_PREFIX) for name in inputs.column_names)
    return Found(
        videos=videos,
        columns={**column_types(videos), **texts},
        names=frozenset(beside) | rows.text_columns,
        listing=names.listing,
        is_shown=lambda uri: any(shows(uri) for shows in names.shown),
    )


def name_source(config: InputConfig) -> str:
    """The input as the log of videos names it."""
    return public(config.videos) if isinstance(config.videos, str) else "list"


def _manifest(videos: str | tuple[str, ...], names: Names, store: Store, types: ColumnTypes | None) -> Manifest | None:
    """The manifest that the input is, if it is one: a list holds none."""
    if not isinstance(videos, str) or not is_manifest(videos) or split_member(public(videos))[1] is not None:
        return None
    refuse_secret(videos)
    if is_pattern(videos) and names.literal(videos) is None:
        return None
    return read_manifest(store, videos, types)


def _named(videos: str | tuple[str, ...], manifest: Manifest | None, names: Names) -> Iterable[Named]:
    if manifest is not None:
        return names.stat_all(manifest.batches(STAT_BATCH))
    return names.find_one(videos) if isinstance(videos, str) else names.find_all(videos)


def _collect(
    named: Iterable[Named],
    rows: FoundRows,
    store: Store,
    cache: ShardIndexCache | None,
    names: Names,
    manifest: Manifest | None,
) -> None:
    """A row for each video that was named. `order` is the place of a name, which in a manifest is that of its row."""
    shards, order, accesses = NamedShards(), 0, dict[str, str]()
    for order, found in enumerate(named):
        if found.member is None:
            _refuse_two_queries(found.info, accesses)
        if is_shard(found.info):
            shards.add(order, found.info, found.member)
        else:
            add_object(rows, order, found.info, found.member, found.refusal)
    inputs = None if manifest is None else manifest.inputs
    columns = frozenset() if inputs is None else frozenset(inputs.column_names)
    shards.open(store, cache, rows, columns=columns, literal=names.literal)
    for uri, why in names.listing.unreadable.items():
        order += 1
        refusal = unreadable(f"it cannot be looked at ({why}); what is in it is not known")
        rows.add(order, uri, UNREADABLE, 0, refusal=refusal)


def _refuse_two_queries(info: ObjectInfo, accesses: dict[str, str]) -> None:
    """Raises InputError where two URLs differ in their query alone: rows could not tell the videos apart."""
    if info.access and accesses.setdefault(info.uri, info.access) != info.access:
        raise InputError(
            f"the input names {info.uri} with two different queries; a video is known by its URL without the query,"
            " which may be a secret: name each one once, or serve them under different paths"
        )


def _nothing(config: InputConfig, listing: Listing) -> str:
    given = [config.videos] if isinstance(config.videos, str) else config.videos
    passed = " but what is left out" if listing.num_hidden or listing.links or listing.has_left_out else ""
    return f"the input names no objects: nothing is at {', '.join(map(public, given[:3]))}{passed}"
