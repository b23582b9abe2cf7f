"""One shard of a plan: the videos that are this run's where several runs share the work."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from framegate.schemas.keys import id_numbers
from framegate.schemas.run import Plan, Shard


def take_shard(planned: Plan, shard: Shard | None, limit: int | None) -> Plan:
    """The plan with the videos of `shard` alone, at most `limit` of them; the others with work left are elsewhere.

    A video belongs to a shard by its id, whatever else is planned, so that every run of an array comes to the same
    parts although each of them plans at its own time.
    """
    videos = take_rows_of(planned.videos, shard)
    num_elsewhere = planned.videos.num_rows - videos.num_rows
    return replace(planned, videos=videos.slice(0, limit), num_elsewhere=num_elsewhere)


def take_rows_of(rows: pa.Table, shard: Shard | None) -> pa.Table:
    """The rows whose `video_id` is of a video of the shard; all of them where it is None."""
    if shard is None:
        return rows
    return rows.filter(pa.array(id_numbers(rows.column("video_id")) % shard.of == shard.number - 1))
