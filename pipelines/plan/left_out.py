"""What of an input is left out, or fails before it is read, and why: a sentence each, however many names there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.store import Listing
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.retries import SOURCE_GONE


def tell_left_out(listing: Listing) -> Iterator[str]:
    """Sentences for a person, in one order. Nothing is left out without one."""
    if listing.has_left_out or listing.num_own:
        yield "left out: this job's own output, which lies below the input"
    if listing.num_hidden:
        yield f"left out: {_number(listing.num_hidden, 'name', 'names')} with a dot in front, folders among them"
    if listing.followed:
        yield f"followed: {_number(len(listing.followed), 'linked folder', 'linked folders')} (input.follow_links)"
    if listing.links:
        listed = "which lead to what is listed already or above it"
        why = listed if listing.follow_links else "which are not followed"
        yield f"left out: {_number(len(listing.links), 'linked folder', 'linked folders')}, {why}"
    if listing.num_dangling:
        yield f"left out: {_number(listing.num_dangling, 'link', 'links')} to nothing"
    if listing.num_special:
        yield f"left out: {_number(listing.num_special, 'pipe, socket or device', 'pipes, sockets or devices')}"


def tell_refused(videos: pa.Table) -> Iterator[str]:
    """A sentence for each reason for which rows of FOUND are given up before they are read. It names no video, since it
    is stored with the run. `video_changes` tells of those that are gone."""
    reasons = Counter(_reasons(videos).drop_null().to_pylist())
    for reason, number in reasons.most_common():
        if reason != SOURCE_GONE:
            yield f"{number:,} of the videos cannot be read, reason {reason} ({REASON_MEANINGS[reason]})"


def first_refused(videos: pa.Table) -> dict[str, str]:
    """By reason, the first video that is given up for it."""
    reasons, uris = _reasons(videos), videos.column("video_uri")
    distinct = reasons.drop_null().unique().to_pylist()
    places = {one: pc.call_function("index", [reasons], pc.IndexOptions(pa.scalar(one))).as_py() for one in distinct}
    return {reason: uris[place].as_py() for reason, place in places.items() if reason != SOURCE_GONE}


def _reasons(videos: pa.Table) -> pa.ChunkedArray:
    return pc.call_function("struct_field", [videos.column("refusal")], pc.StructFieldOptions(["reason"]))


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
