"""What has changed among the videos since an output last looked: which came, were overwritten, went away, came back.

    current      it is there, in this version
    superseded   another version lies at its URI
    gone         storage does not have it: the input names it, or lists the place where it lay
    not_listed   the manifest that named it names it no more; whether it is there was not looked at

Videos that the input is not about, such as those of another job of the same output, stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.video_log import CURRENT, GONE, NOT_LISTED, SUPERSEDED, VideoLog
from framegate.pipelines.commit.video_rows import join_rows, make_rows
from framegate.pipelines.plan.video_inputs import inputs_of
from framegate.pipelines.source.manifest import is_manifest
from framegate.pipelines.source.shards import are_members, shards_of, split_member
from framegate.schemas.keys import id_numbers
from framegate.schemas.tables import VIDEO_STATES


@dataclass(frozen=True, kw_only=True)
class Looked:
    """How the input was looked at.

    source       its name: a prefix, a glob, a manifest or `list`
    is_listing   whether it lists the place of an object (`source.find.Found.is_shown`)
    unreadable   URIs of objects, and of folders with a slash at the end, that could not be looked at: what the log has
                 of them, or in them, stays as it is
    last         tells when a run looked before; None where none has, or that is not known
    """

    source: str
    is_listing: Callable[[str], bool]
    unreadable: frozenset[str] = frozenset()

    def knows_nothing_of(self, object_uri: str) -> bool:
        if not self.unreadable:
            return False
        parts = object_uri.split("/")
        return object_uri in self.unreadable or any(
            "/".join(parts[:n]) + "/" in self.unreadable for n in range(1, len(parts))
        )

    now: datetime
    last: Callable[[], datetime | None] = lambda: None


def find_changes(found: pa.Table, is_absent: np.ndarray, log: VideoLog, looked: Looked) -> pa.Table:
    """Rows for the log (`commit.video_rows`): every video whose state is another one than there.

    `found` are rows of FOUND as they were found, but for those of what could not be looked at; `is_absent` are those
    that storage does not have.
    """
    there = found.filter(pa.array(~is_absent)) if is_absent.any() else found
    ids = id_numbers(there.column("video_id"))
    places = _places_in(ids, log.ids)
    is_new = places < 0
    tables = [_new_rows(there.filter(pa.array(is_new)), looked)]
    is_there = np.zeros(len(log.ids), bool)
    is_there[places[~is_new]] = True
    back = log.ids[is_there & (log.states != CURRENT)]
    if len(back):
        tables.append(_changed(log.rows(back), CURRENT, looked))
    away = log.ids[~is_there & ((log.states == CURRENT) | (log.states == NOT_LISTED))]
    if len(away):
        tables.append(_away(log.rows(away), found, there, is_absent, looked))
    changes = join_rows(tables)
    return changes if log.is_begun or not len(log.ids) else _with_the_rest(changes, log)


def tell_changes(changes: pa.Table, log: VideoLog) -> list[str]:
    """A sentence for each way in which videos went away, with how many were there before."""
    counts = Counter(changes.column("state").to_pylist()) if log.is_begun else Counter()
    num_before = int((log.states == CURRENT).sum())
    sentences = []
    if counts[GONE]:
        sentences.append(
            f"{counts[GONE]:,} of {num_before:,} videos are gone from storage since the last run; their answers stay"
        )
    if counts[NOT_LISTED]:
        sentences.append(
            f"the manifest no longer names {counts[NOT_LISTED]:,} of {num_before:,} videos that were current; their"
            " answers stay. Is it whole?"
        )
    return sentences


def _places_in(ids: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The place of each id in `among`, which ascends; -1 where it is not there. A million of them in order are looked
    up in a tenth of the time that they take in any order."""
    if len(among) == 0:
        return np.full(len(ids), -1)
    order = np.argsort(ids)
    found = np.minimum(np.searchsorted(among, ids[order]), len(among) - 1)
    found[among[found] != ids[order]] = -1
    places = np.empty(len(ids), np.int64)
    places[order] = found
    return places


def _new_rows(new: pa.Table, looked: Looked) -> pa.Table:
    columns = {
        "video_uri": new.column("video_uri"),
        "video_id": new.column("video_id"),
        "video_version": new.column("video_version"),
        "size_bytes": new.column("video_size_bytes"),
    }
    constant = {"state": CURRENT, "first_seen": looked.now, "since": looked.now, "source": looked.source}
    return make_rows({**columns, **constant, **inputs_of(new)}, new.num_rows)


def _changed(rows: pa.Table, state: str, looked: Looked) -> pa.Table:
    kept = {name: rows.column(name) for name in rows.column_names}
    new = {"state": state, "since": looked.now, "source": looked.source, "last_seen": None}
    if state != CURRENT and rows.num_rows:
        last = pa.scalar(looked.last(), VIDEO_STATES.field("last_seen").type)
        seen = [rows.column("last_seen"), pa.repeat(last, rows.num_rows), rows.column("first_seen")]
        new["last_seen"] = pc.call_function("coalesce", seen)
    return make_rows({**kept, **new}, rows.num_rows)


def _away(rows: pa.Table, found: pa.Table, there: pa.Table, is_absent: np.ndarray, looked: Looked) -> pa.Table:
    """New states of videos that the log has as current, or not listed, and that were not found at their version."""
    judge = _Judge(rows, found, there, is_absent, looked)
    states = np.array([judge.state_of(row) for row in rows.to_pylist()], object)
    was = np.array(rows.column("state").to_pylist(), object)
    tables = [
        _changed(rows.filter(pa.array((states == state) & (was != state))), state, looked)
        for state in (SUPERSEDED, GONE, NOT_LISTED)
    ]
    return join_rows(tables)


class _Judge:
    """Says what became of a video that was not found at its version."""

    def __init__(self, rows: pa.Table, found: pa.Table, there: pa.Table, is_absent: np.ndarray, looked: Looked) -> None:
        uris = rows.column("video_uri").combine_chunks()
        self._there = set(_among(there, uris).column("video_uri").to_pylist())
        self._absent = set(found.column("video_uri").filter(pa.array(is_absent)).to_pylist())
        objects = {split_member(uri)[0] for uri in uris.to_pylist() if "#" in uri}
        self._shards = _versions_of(there, objects) if objects else {}
        self._looked = looked
        self._is_manifest = is_manifest(looked.source)

    def state_of(self, row: Mapping[str, Any]) -> str:
        uri = row["video_uri"]
        if uri in self._there:
            return SUPERSEDED
        object_uri, member = split_member(uri)
        if self._looked.knows_nothing_of(uri) or self._looked.knows_nothing_of(object_uri):
            return row["state"]
        if uri in self._absent or object_uri in self._absent:
            return GONE
        shard = self._shards.get(object_uri) if member is not None else None
        if shard is not None and shard != row["video_version"]:
            return GONE  # the shard was overwritten, and has no such member now
        if self._looked.is_listing(object_uri):
            return GONE
        if self._is_manifest and row["source"] == self._looked.source:
            return NOT_LISTED
        return row["state"]


def _among(there: pa.Table, uris: pa.Array) -> pa.Table:
    return there.filter(pc.call_function("is_in", [there.column("video_uri")], pc.SetLookupOptions(uris)))


def _versions_of(there: pa.Table, shards: set[str]) -> dict[str, str]:
    """The versions of those shards that are there, from the rows of their members or from their own."""
    rows = there.select(["video_uri", "video_version"])
    names = rows.column("video_uri")
    is_tar = pc.call_function("ends_with", [names], pc.MatchSubstringOptions(".tar", ignore_case=True))
    rows = rows.filter(pc.call_function("or", [is_tar, are_members(names)]))
    objects = shards_of(rows.column("video_uri"))
    each = pa.table({"shard": objects, "version": rows.column("video_version")}).group_by(["shard", "version"])
    return {row["shard"]: row["version"] for row in each.aggregate([]).to_pylist() if row["shard"] in shards}


def _with_the_rest(changes: pa.Table, log: VideoLog) -> pa.Table:
    """The first rows of a log: also those of videos that an older output had planned, and that stay as they are."""
    changed = id_numbers(changes.column("video_id"))
    return join_rows([log.rows(log.ids[~np.isin(log.ids, changed)]), changes])
