"""What of an input is left out, or fails before it is read, and why: a sentence each, however many names there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.source.find import Found
from framegate.schemas.errors import REASON_MEANINGS


def tell_left_out(found: Found) -> list[str]:
    """Sentences for a person, in one order. Nothing is left out without one."""
    return [*_passed_over(found), *_refused(found)]


def _passed_over(found: Found) -> Iterator[str]:
    listing = found.listing
    if listing.has_left_out or listing.num_own:
        yield "left out: this job's own output, which lies below the input"
    if listing.num_hidden:
        yield f"left out: {_number(listing.num_hidden, 'name', 'names')} with a dot in front, folders among them"
    if listing.num_links:
        why = (
            "which are not followed" if not listing.follow_links else "which lead to what is listed already or above it"
        )
        yield f"left out: {_number(listing.num_links, 'linked folder', 'linked folders')}, {why}"
    if listing.num_dangling:
        yield f"left out: {_number(listing.num_dangling, 'link', 'links')} to nothing"
    if listing.num_special:
        yield f"left out: {_number(listing.num_special, 'pipe, socket or device', 'pipes, sockets or devices')}"


def _refused(found: Found) -> Iterator[str]:
    refusals = found.videos.column("refusal")
    if refusals.null_count == len(refusals):
        return
    reasons = pc.call_function("struct_field", [refusals], pc.StructFieldOptions(["reason"]))
    uris = found.videos.column("video_uri")
    for reason, number in Counter(reasons.drop_null().to_pylist()).most_common():
        first = uris[pc.call_function("index", [reasons], pc.IndexOptions(pa.scalar(reason))).as_py()].as_py()
        yield (
            f"{number:,} of the videos cannot be read, reason {reason} ({REASON_MEANINGS[reason]});"
            f" the first is {first}"
        )


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
