"""What exists: the videos that `input.videos` names, whether as a prefix, a glob, a list, a manifest or tar shards.

Every name counts as a video whatever it ends in, unless that is `.tar`: decoding looks at the content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pyarrow as pa

from framegate.pipelines.source.braces import expand_braces
from framegate.pipelines.source.found import ABSENT, FoundRows
from framegate.pipelines.source.index_cache import ShardIndexCache
from framegate.pipelines.source.manifest import is_manifest, read_manifest
from framegate.pipelines.source.shards import NamedShards, add_object, is_shard, split_member
from framegate.pipelines.store import ObjectInfo, Store
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import InputError, ObjectNotFound

STAT_THREADS = 32
STAT_BATCH = 8192  # names that are looked up before their rows are collected
STAT_TASK = 32  # names at most that a thread looks up at a time: on a local disk, handing them over costs more

NamedObject = tuple[ObjectInfo, str | None]
"""The object that a name leads to, and the member of it where the name is `shard.tar#member`."""


def find_videos(config: InputConfig, cache: ShardIndexCache | None = None) -> pa.Table:
    """Every video of the input, once, by URI; the members of tar shards come from `cache` where it has them.

    A table in FOUND; the columns of a manifest stand beside it with the prefix `input_`. About 200 bytes a video.
    Raises InputError where there is none, StorageError, ObjectNotFound.
    """
    store = Store(config.storage_options)
    given = _given(config)
    names = [name for pattern in given for name in expand_braces(pattern)]
    inputs = None
    if not isinstance(config.videos, str) or names != given:
        named = _find(store, names)
    elif is_manifest(names[0]) and split_member(names[0])[1] is None:
        manifest = read_manifest(store, names[0])
        inputs, named = manifest.inputs, _stat_all(store, manifest.batches(STAT_BATCH))
    else:
        named = _find_one(store, names[0])
    rows, shards = FoundRows(), NamedShards()
    for order, (info, member) in enumerate(named):
        if is_shard(info):
            shards.add(order, info, member)
        else:
            add_object(rows, order, info, member)
    shards.open(store, cache, rows, columns=frozenset() if inputs is None else frozenset(inputs.column_names))
    found = rows.table(inputs)
    if found.num_rows == 0:
        raise InputError(f"the input names no objects: nothing is at {', '.join(given[:3])}")
    return found


def is_listing(config: InputConfig) -> Callable[[str], bool]:
    """Whether the input lists the place of an object, so that one which is not found there is gone.

    A manifest or a list of names says nothing of an object that it does not name.
    """
    store = Store(config.storage_options)
    names = [name for pattern in _given(config) for name in expand_braces(pattern)]
    if names == [config.videos]:
        listed = [] if is_manifest(names[0]) else names
    else:
        listed = [name for name in names if split_member(name)[1] is None and (_is_glob(name) or name.endswith("/"))]
    tests = [store.shows(name) for name in listed]
    return lambda uri: any(test(uri) for test in tests)


def name_source(config: InputConfig) -> str:
    """The input as the log of videos names it."""
    return config.videos if isinstance(config.videos, str) else "list"


def _given(config: InputConfig) -> list[str]:
    return [config.videos] if isinstance(config.videos, str) else list(config.videos)


def _find_one(store: Store, name: str) -> Iterator[NamedObject]:
    shard, member = split_member(name)
    if member is not None:
        yield store.stat(shard), member
    elif _is_glob(name):
        store.check_bucket(name)
        yield from ((info, None) for info in store.glob(name))
    elif store.is_folder(name):
        yield from ((info, None) for info in store.list(name))
    else:
        yield store.stat(name), None


def _find(store: Store, names: Iterable[str]) -> Iterator[NamedObject]:
    plain: list[str] = []
    for name in names:
        if split_member(name)[1] is None and (_is_glob(name) or name.endswith("/")):
            yield from _find_one(store, name)
        else:
            plain.append(name)
    yield from _stat_all(store, (plain[n : n + STAT_BATCH] for n in range(0, len(plain), STAT_BATCH)))


def _stat_all(store: Store, batches: Iterable[list[str]]) -> Iterator[NamedObject]:
    def stat(uri: str) -> ObjectInfo:
        try:
            return store.stat(uri)
        except ObjectNotFound:
            store.check_bucket(uri)  # a missing bucket is no missing video: it raises
            return ObjectInfo(uri=uri, version=ABSENT, size_bytes=0)

    shards: dict[str, ObjectInfo] = {}  # one whose members are listed one by one is looked up once
    with ThreadPoolExecutor(STAT_THREADS) as threads:
        for names in batches:
            split = [split_member(name) for name in names]
            uris = [uri for uri in dict.fromkeys(uri for uri, _ in split) if uri not in shards]
            size = max(1, min(STAT_TASK, len(uris) // STAT_THREADS))
            tasks = [uris[n : n + size] for n in range(0, len(uris), size)]
            found = chain.from_iterable(threads.map(lambda some: [stat(uri) for uri in some], tasks))
            infos = dict(zip(uris, found, strict=True)) | shards
            shards |= {uri: infos[uri] for uri, member in split if member is not None}
            yield from ((infos[uri], member) for uri, member in split)


def _is_glob(name: str) -> bool:
    return any(char in name for char in "*?[")
