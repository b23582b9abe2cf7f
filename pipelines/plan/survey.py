"""What lies below a folder or a prefix, for whoever writes a first job about it: formats, shards, a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from framegate.pipelines.plan.probe import ProbedVideo, probe_uris
from framegate.pipelines.source.manifest import SUFFIXES, read_manifest
from framegate.pipelines.store import Listing, ObjectInfo, Store, is_glob
from framegate.schemas.errors import InputError, ObjectNotFound
from framegate.schemas.tables import INPUT_PREFIX

MAX_OBJECTS: Final = 200_000  # of a listing; what comes behind them is not counted
MAX_MANIFEST_BYTES: Final = 256 * 2**20
MAX_CANDIDATES: Final = 20  # files that may be manifests; each is read whole
NUM_PROBED: Final = 3
SHARD: Final = ".tar"
# What such files are called. A job may name any other: content decides.
VIDEO_EXTENSIONS: Final = frozenset(
    (".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".flv",
     ".ogv", ".ogg", ".mxf")
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found.

    videos         what `input.videos` may say: the manifest, or globs of the formats, or the place itself
    by_extension   how many objects have which extension, as it is written; the most frequent one first
    manifest       the URI of a table with a column `uri`, and its other `columns`, where there is exactly one
    probed         what the decoder sees in the first few videos
    is_whole       False where there are more than MAX_OBJECTS
    """

    videos: tuple[str, ...]
    num_objects: int
    size_bytes: int
    by_extension: Mapping[str, int]
    manifest: str | None
    columns: tuple[str, ...]
    probed: tuple[ProbedVideo, ...]
    is_whole: bool


def survey(uri: str) -> Survey:
    """Looks at a folder, a prefix, or one object. Raises InputError where nothing is there, StorageError."""
    store = Store({})
    objects = _list(store, uri)
    if not objects:
        raise InputError(f"nothing lies below {uri}; name the folder or prefix that holds the videos")
    counted = objects[:MAX_OBJECTS]
    by_extension = Counter(extension(info.uri) for info in counted)
    manifests = _find_manifests(store, counted)
    manifest = manifests[0][0] if len(manifests) == 1 else None
    known = [name for name in by_extension if name.lower() in VIDEO_EXTENSIONS or name.lower() == SHARD]
    is_folder = counted[0].uri != uri
    globs = () if is_glob(uri) else tuple(f"{uri.rstrip('/')}/**/*{name}" for name in sorted(known))
    place = f"{uri.rstrip('/')}/" if is_folder else uri
    looked_at = [info.uri for info in counted if extension(info.uri).lower() in VIDEO_EXTENSIONS]
    return Survey(
        videos=(manifest,) if manifest else globs if is_folder and globs else (place,),
        num_objects=len(counted),
        size_bytes=sum(info.size_bytes for info in counted),
        by_extension=dict(sorted(by_extension.items(), key=lambda item: (-item[1], item[0]))),
        manifest=manifest,
        columns=manifests[0][1] if manifest else (),
        probed=tuple(probe_uris(looked_at[:NUM_PROBED], None)),
        is_whole=len(objects) <= MAX_OBJECTS,
    )


def extension(uri: str) -> str:
    """`.mp4` of `a/b.mp4`; nothing where a name has no dot."""
    _, dot, end = uri.rpartition("/")[2].rpartition(".")
    return f"{dot}{end}" if dot else ""


def _list(store: Store, uri: str) -> list[ObjectInfo]:
    if store.is_folder(uri):
        return list(islice(store.list(uri, Listing()), MAX_OBJECTS + 1))
    try:
        return [store.stat(uri)]
    except ObjectNotFound:
        return []


def _find_manifests(store: Store, objects: Iterable[ObjectInfo]) -> list[tuple[str, tuple[str, ...]]]:
    """The tables with a column `uri`, and the names of their other columns."""
    candidates = (
        info for info in objects if info.uri.lower().endswith(SUFFIXES) and info.size_bytes <= MAX_MANIFEST_BYTES
    )
    found = []
    for info in islice(candidates, MAX_CANDIDATES):
        try:
            manifest = read_manifest(store, info.uri)
        except InputError:
            continue  # a table of something else
        names = () if manifest.inputs is None else manifest.inputs.column_names
        found.append((info.uri, tuple(name.removeprefix(INPUT_PREFIX) for name in names)))
    return found
