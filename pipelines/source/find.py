"""What exists: the videos that `input.videos` names, whether as a prefix, a glob, a list or a manifest.

A name is believed to be a video whatever it ends in; content decides later. Knows nothing of what is done already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from pipelines.source.manifest import is_manifest, read_manifest
from pipelines.store import ObjectInfo, Store
from schemas.clip import Video
from schemas.config import InputConfig
from schemas.errors import InputError, ObjectNotFound

ABSENT = "absent"
"""The version of an object that a list or manifest names and storage does not have; it fails when it is decoded, and
is a new video as soon as it is there."""

STAT_THREADS = 32


def find_videos(config: InputConfig) -> list[Video]:
    """Every video of the input, once, by URI. Raises InputError where there is none, StorageError, ObjectNotFound."""
    store = Store(config.storage_options)
    if isinstance(config.videos, str):
        videos = list(_find_one(store, config.videos))
    else:
        videos = list(_find_listed(store, config.videos))
    if not videos:
        names = config.videos if isinstance(config.videos, str) else ", ".join(config.videos[:3])
        raise InputError(f"the input names no objects: nothing is at {names}")
    return sorted({video.uri: video for video in reversed(videos)}.values(), key=lambda video: video.uri)


def _find_one(store: Store, name: str) -> Iterator[Video]:
    if is_manifest(name):
        yield from _stat_all(store, read_manifest(store, name))
    elif _is_glob(name):
        store.is_folder(_bucket(name))
        yield from map(_video, store.glob(name))
    elif store.is_folder(name):
        yield from map(_video, store.list(name))
    else:
        yield _video(store.stat(name))


def _find_listed(store: Store, names: Iterable[str]) -> Iterator[Video]:
    plain: list[tuple[str, dict[str, object]]] = []
    for name in names:
        if _is_glob(name) or name.endswith("/"):
            yield from _find_one(store, name)
        else:
            plain.append((name, {}))
    yield from _stat_all(store, plain)


def _stat_all(store: Store, rows: Iterable[tuple[str, dict[str, object]]]) -> Iterator[Video]:
    def stat(row: tuple[str, dict[str, object]]) -> Video:
        uri, inputs = row
        try:
            return _video(store.stat(uri), inputs)
        except ObjectNotFound:
            store.is_folder(_bucket(uri))  # a missing bucket is no missing video: it raises
            return Video(uri=uri, version=ABSENT, size_bytes=0, inputs=inputs)

    with ThreadPoolExecutor(STAT_THREADS) as threads:
        yield from threads.map(stat, rows)


def _video(info: ObjectInfo, inputs: dict[str, object] | None = None) -> Video:
    return Video(uri=info.uri, version=info.version, size_bytes=info.size_bytes, inputs=inputs or {})


def _is_glob(name: str) -> bool:
    return any(char in name for char in "*?[")


def _bucket(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else "/"
