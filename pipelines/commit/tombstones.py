"""Tombstones: videos that were erased and stay out, one small object each, named by a digest of the URI.

A tombstone is about every version of the video at that URI. The URI cannot be read from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.output import Output
from framegate.pipelines.failpoints import reach
from framegate.pipelines.store import join
from framegate.schemas.keys import uri_digest

PUT_THREADS = 16  # a tombstone is one request; a prefix may hold a million videos


def read_tombstones(output: Output) -> frozenset[str]:
    """The digests of all URIs that were erased; fresh from storage."""
    return frozenset(info.uri.rpartition("/")[2].removesuffix(".json") for info in output.list("tombstones"))


def set_tombstones(output: Output, digests: Iterable[str], erasure_id: str) -> None:
    """Keeps the videos with these digests out from now on. An existing tombstone is left. Raises StorageError."""
    data = (json.dumps({"erasure_id": erasure_id}) + "\n").encode()

    def put(digest: str) -> None:
        output.store.put_once(join(output.layout.folder("tombstones"), f"{digest}.json"), data)
        reach("erase.tombstone")

    missing = sorted(frozenset(digests) - read_tombstones(output))
    with ThreadPoolExecutor(PUT_THREADS) as threads:
        for _ in threads.map(put, missing):
            pass  # raises what a put raised


def erased_among(uris: Iterable[str], tombstones: frozenset[str]) -> set[str]:
    """Those of `uris` that were erased. Costs nothing where nothing was ever erased."""
    return {uri for uri in uris if uri_digest(uri) in tombstones} if tombstones else set()


def without_erased(rows: pa.Table, tombstones: frozenset[str]) -> pa.Table:
    """The rows, by their `video_uri`, of videos that were not erased."""
    if not tombstones:
        return rows
    erased = erased_among(rows.column("video_uri").unique().to_pylist(), tombstones)
    return rows.filter(~pc.field("video_uri").isin(list(erased))) if erased else rows
