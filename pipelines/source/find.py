"""What exists: the videos that `input.videos` names, whether as a prefix, a glob, a list, a manifest or tar shards.

A name is believed to be a video whatever it ends in, unless that is `.tar`; content decides later. Knows nothing of
what is done already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from pipelines.source.braces import expand_braces
from pipelines.source.found import ABSENT, Found
from pipelines.source.indexes import Indexes
from pipelines.source.manifest import is_manifest, read_manifest
from pipelines.source.shards import open_shards, split_member
from pipelines.store import ObjectInfo, Store
from schemas.clip import Video
from schemas.config import InputConfig
from schemas.errors import InputError, ObjectNotFound

STAT_THREADS = 32


def find_videos(config: InputConfig, indexes: Indexes | None = None) -> list[Video]:
    """Every video of the input, once, by URI; the members of tar shards, by `indexes` where those are kept already.

    Raises InputError where there is none, StorageError, ObjectNotFound.
    """
    store = Store(config.storage_options)
    given = [config.videos] if isinstance(config.videos, str) else list(config.videos)
    names = [name for pattern in given for name in expand_braces(pattern)]
    found = _find_one(store, names[0]) if isinstance(config.videos, str) and names == given else _find(store, names)
    videos = list(open_shards(store, found, indexes))
    if not videos:
        raise InputError(f"the input names no objects: nothing is at {', '.join(given[:3])}")
    return sorted({video.uri: video for video in reversed(videos)}.values(), key=lambda video: video.uri)


def _find_one(store: Store, name: str) -> Iterator[Found]:
    shard, member = split_member(name)
    if member is not None:
        yield Found(info=store.stat(shard), member=member)
    elif is_manifest(name):
        yield from _stat_all(store, read_manifest(store, name))
    elif _is_glob(name):
        store.is_folder(_bucket(name))
        yield from (Found(info=info) for info in store.glob(name))
    elif store.is_folder(name):
        yield from (Found(info=info) for info in store.list(name))
    else:
        yield Found(info=store.stat(name))


def _find(store: Store, names: Iterable[str]) -> Iterator[Found]:
    plain: list[tuple[str, dict[str, object]]] = []
    for name in names:
        if split_member(name)[1] is None and (_is_glob(name) or name.endswith("/")):
            yield from _find_one(store, name)
        else:
            plain.append((name, {}))
    yield from _stat_all(store, plain)


def _stat_all(store: Store, rows: Iterable[tuple[str, dict[str, object]]]) -> Iterator[Found]:
    def stat(uri: str) -> ObjectInfo:
        try:
            return store.stat(uri)
        except ObjectNotFound:
            store.is_folder(_bucket(uri))  # a missing bucket is no missing video: it raises
            return ObjectInfo(uri=uri, version=ABSENT, size_bytes=0)

    names = [(*split_member(name), inputs) for name, inputs in rows]
    uris = list(dict.fromkeys(uri for uri, _, _ in names))  # a shard whose members are listed one by one: once
    with ThreadPoolExecutor(STAT_THREADS) as threads:
        infos = dict(zip(uris, threads.map(stat, uris), strict=True))
    yield from (Found(info=infos[uri], member=member, inputs=inputs) for uri, member, inputs in names)


def _is_glob(name: str) -> bool:
    return any(char in name for char in "*?[")


def _bucket(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else "/"
