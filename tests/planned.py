"""Planned videos, as a plan has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa

from framegate.schemas.keys import id_text
from framegate.schemas.tables import PLANNED


def planned(
    numbers: Iterable[int],
    *,
    sizes_bytes: Mapping[int, int] | None = None,
    questions: Mapping[int, Collection[str]] | None = None,
    done: Mapping[int, Collection[tuple[int, str]]] | None = None,
) -> pa.Table:
    """Videos by number, each with its size, the questions that are missing, and the clips at which they are stored."""
    rows = [
        {
            "video_uri": f"v{number}.mp4",
            "video_id": id_text(number),
            "video_version": "1",
            "video_size_bytes": (sizes_bytes or {}).get(number, 1000),
            "inputs": b"",
            "question_hashes": list((questions or {}).get(number, ["a" * 16, "b" * 16])),
            "done": [
                {"clip_index": clip, "question_hash": question} for clip, question in (done or {}).get(number, ())
            ],
            "attempts": [],
            "undecoded_attempts": 0,
        }
        for number in numbers
    ]
    return pa.Table.from_pylist(rows, schema=PLANNED)
