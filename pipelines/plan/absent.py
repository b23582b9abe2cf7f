"""Videos that the input names and storage does not have: which of them were seen before, and as what.

One that was seen stands in the plan under the version that was seen last, as gone. So its answers count: where all
questions are answered it is history, and where some are open it fails once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.video_log import SUPERSEDED, VideoLog
from framegate.pipelines.source.found import ABSENT, UNREADABLE
from framegate.pipelines.source.shards import are_members, split_member
from framegate.schemas.retries import NOT_FOUND, SOURCE_GONE
from framegate.schemas.tables import FOUND

_GONE: Final = {
    "reason": SOURCE_GONE,
    "message": "It was seen before and is not in storage any more, and some questions are open.",
}


def are_absent(found: pa.Table) -> np.ndarray:
    """Which rows of FOUND are of objects that storage does not have."""
    is_absent = pc.call_function("equal", [found.column("video_version"), pa.scalar(ABSENT)]).to_numpy()
    if not is_absent.any():
        return is_absent
    places = np.flatnonzero(is_absent)
    reasons = [refusal and refusal["reason"] for refusal in found.column("refusal").take(pa.array(places)).to_pylist()]
    is_absent[places] = [reason in (NOT_FOUND, SOURCE_GONE) for reason in reasons]  # others are there, and refused
    return is_absent


def are_unreadable(found: pa.Table) -> np.ndarray:
    """Which rows of FOUND are of folders or objects that storage did not let us look at."""
    return pc.call_function("equal", [found.column("video_version"), pa.scalar(UNREADABLE)]).to_numpy()


def are_gone(found: pa.Table) -> np.ndarray:
    """Which rows of what `recall_absent` returned are of videos that were seen before and are not there now."""
    if "refusal" not in found.column_names or found.column("refusal").null_count == found.num_rows:
        return np.zeros(found.num_rows, bool)
    reason = pc.call_function("struct_field", [found.column("refusal")], pc.StructFieldOptions(["reason"]))
    is_gone = pc.call_function("equal", [reason, pa.scalar(SOURCE_GONE)])
    return pc.fill_null(is_gone, False).to_numpy().astype(bool)


def recall_absent(found: pa.Table, is_absent: np.ndarray, log: VideoLog) -> pa.Table:
    """`found` with each absent or unreadable row, as `is_absent` says, at the version that was seen last; one that was
    never seen stays as it is. What is unreadable stays refused for that.

    A shard that was named as a whole becomes the members that it had.
    """
    if not is_absent.any():
        return found
    absent = found.filter(pa.array(is_absent))
    seen = _last_seen(absent, log)
    if not seen:
        return found
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    for place, row in enumerate(absent.select(FOUND.names).to_pylist()):
        for known in seen.get(row["video_uri"], [None]):
            places.append(place)
            kept = {"refusal": row["refusal"]} if row["video_version"] == UNREADABLE else {}
            rows.append(row if known is None else {**row, **_as_found(known), **kept})
    recalled = pa.Table.from_pylist(rows, schema=FOUND)
    for name in found.column_names[len(FOUND) :]:
        recalled = recalled.append_column(found.schema.field(name), absent.column(name).take(pa.array(places)))
    present = found.filter(pa.array(~is_absent))
    return _once_each(pa.concat_tables([present, recalled.select(found.column_names)]))


def _last_seen(absent: pa.Table, log: VideoLog) -> Mapping[str, list[Mapping[str, Any]]]:
    """By URI of an absent row: the row of the log for the version that was seen last, or for each member of a shard."""
    uris = set(absent.column("video_uri").to_pylist())
    rows = log.rows(log.ids[log.states != SUPERSEDED])
    names = rows.column("video_uri")
    is_wanted = pc.call_function("is_in", [names], pc.SetLookupOptions(pa.array(sorted(uris), pa.string())))
    if any(uri.lower().endswith(".tar") for uri in uris):
        is_wanted = pc.call_function("or", [is_wanted, are_members(names)])
    last: dict[str, Mapping[str, Any]] = {}
    for row in rows.filter(is_wanted).sort_by("since").to_pylist():
        last[row["video_uri"]] = row
    seen: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for uri, row in last.items():
        shard = split_member(uri)[0]
        for named in {uri, shard} & uris:
            seen[named].append(row)
    return seen


def _as_found(known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "video_uri": known["video_uri"],
        "video_id": known["video_id"],
        "video_version": known["video_version"],
        "video_size_bytes": known["size_bytes"] or 0,
        "refusal": _GONE,
    }


def _once_each(found: pa.Table) -> pa.Table:
    """By URI, each once: a shard and a member of it may both have been named."""
    found = found.sort_by("video_uri")
    uris = found.column("video_uri").combine_chunks()
    is_new = np.ones(found.num_rows, bool)
    is_new[1:] = pc.call_function("not_equal", [uris.slice(1), uris.slice(0, len(uris) - 1)]).to_numpy(
        zero_copy_only=False
    )
    return found if is_new.all() else found.filter(pa.array(is_new))
