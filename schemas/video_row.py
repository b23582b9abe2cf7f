"""A video as the columns that FOUND, PLANNED and DECODED have of it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from framegate.schemas.clip import Member, Video


def video_of(row: Mapping[str, Any]) -> Video:
    """The Video in a row of FOUND, PLANNED or DECODED, without its refusal."""
    inputs = inputs_table(row["inputs"])
    name = row["member_name"]
    return Video(
        uri=row["video_uri"],
        version=row["video_version"],
        size_bytes=row["video_size_bytes"],
        inputs=inputs.to_pylist()[0] if inputs is not None else {},
        member=None if name is None else Member(name=name, offset_bytes=row["member_offset_bytes"]),
        access=row.get("access") or "",
    )


def video_row(video: Video) -> dict[str, Any]:
    """A refusal is a column of PLANNED alone, as no later stage sees a refused video."""
    member = video.member
    return {
        "video_uri": video.uri,
        "video_id": video.video_id,
        "video_version": video.version,
        "video_size_bytes": video.size_bytes,
        "member_name": member.name if member else None,
        "member_offset_bytes": member.offset_bytes if member else None,
        "inputs": inputs_bytes(video.inputs),
    }


def inputs_bytes(inputs: Mapping[str, object]) -> bytes:
    """A manifest row with its types: an Arrow IPC stream of one row; empty where the manifest has no other columns."""
    if not inputs:
        return b""
    table = pa.Table.from_pylist([dict(inputs)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def inputs_table(data: bytes) -> pa.Table | None:
    """The one-row table that `inputs_bytes` packed, or None."""
    return pa.ipc.open_stream(data).read_all() if data else None
