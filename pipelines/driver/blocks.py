"""The plan as decode tasks: each is one or more blocks of videos."""

from __future__ import annotations

import pyarrow as pa

from framegate.schemas.blocks import MAX_BLOCK_VIDEOS, together

MAX_TASKS = 4096  # more of them only cost the driver
TASKS_PER_WORKER = 4  # at least, where there are videos enough: so that all workers end at about the same time


def max_together(num_videos: int, num_workers: int) -> int:
    """How many small videos may make one block, so that a plan of a few is still spread over all workers."""
    return max(1, min(MAX_BLOCK_VIDEOS, num_videos // (TASKS_PER_WORKER * num_workers)))


def make_tasks(videos: pa.Table, max_videos: int) -> list[pa.Table]:
    """`videos` (PLANNED) in order, in at most MAX_TASKS tables, each of whole blocks."""
    blocks = [*together(videos.column("video_size_bytes").to_pylist(), max_videos)]
    per_task = -(-len(blocks) // MAX_TASKS)
    tasks = [blocks[n : n + per_task] for n in range(0, len(blocks), per_task)] if blocks else []
    return [videos.slice(task[0].start, task[-1].stop - task[0].start) for task in tasks]
