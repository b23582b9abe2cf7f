"""Videos that were erased and stay out: one small object each, named by a digest of the URI.

A tombstone stands for every version of what lies at a URI. Nothing of the URI can be read from it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commit.layout import Layout, uri_digest
from pipelines.store import Store


def read_tombstones(store: Store, layout: Layout) -> frozenset[str]:
    """The digests of all URIs that were erased; fresh from storage."""
    return frozenset(
        info.uri.rpartition("/")[2].removesuffix(".json") for info in store.list(layout.folder("tombstones"))
    )


def erased_among(uris: Iterable[str], tombstones: frozenset[str]) -> set[str]:
    """Those of `uris` that were erased. Costs nothing where nothing was ever erased."""
    return {uri for uri in uris if uri_digest(uri) in tombstones} if tombstones else set()


def without_erased(rows: pa.Table, tombstones: frozenset[str]) -> pa.Table:
    """The rows, by their `video_uri`, of videos that were not erased."""
    if not tombstones:
        return rows
    gone = erased_among(pc.unique(rows.column("video_uri")).to_pylist(), tombstones)
    return rows.filter(~pc.field("video_uri").isin(list(gone))) if gone else rows
