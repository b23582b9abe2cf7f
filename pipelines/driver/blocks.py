"""Blocks on their way through Ray Data: the plan as decode tasks, and tables that stay whole.

Ray Data cuts what a worker yields into blocks by their size, and no size that it can be told keeps a small table and a
large one whole. A single row is never cut: so a table travels as one row, packed, without copying it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pyarrow as pa

from framegate.schemas.blocks import MAX_BLOCK_VIDEOS, sizes_bytes, together

MAX_TASKS = 4096  # more of them only cost the driver
TASKS_PER_WORKER = 4  # at least, where there are videos enough: so that all workers end at about the same time


def max_together(num_videos: int, num_workers: int) -> int:
    """How many small videos may make one block, so that a plan of a few is still spread over all workers."""
    return max(1, min(MAX_BLOCK_VIDEOS, num_videos // (TASKS_PER_WORKER * num_workers)))


def make_tasks(videos: pa.Table, max_videos: int) -> list[pa.Table]:
    """`videos` (PLANNED) in order, in at most MAX_TASKS tables, each of whole blocks."""
    blocks = [*together(sizes_bytes(videos), max_videos)]
    per_task = -(-len(blocks) // MAX_TASKS)
    tasks = [blocks[n : n + per_task] for n in range(0, len(blocks), per_task)] if blocks else []
    return [videos.slice(task[0].start, task[-1].stop - task[0].start) for task in tasks]


PACKED: Final = "rows"


def pack(table: pa.Table) -> pa.Table:
    """One row that holds all rows of `table`."""
    chunks = table.to_struct_array().chunks
    rows = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    return pa.table({PACKED: pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)})


def unpack(batch: pa.Table) -> pa.Table:
    """The tables of all packed rows of `batch`, as one."""
    return pa.concat_tables([pa.Table.from_struct_array(chunk.flatten()) for chunk in batch.column(PACKED).chunks])


class DecodeCalls:
    """A decode worker as Ray Data calls it: rows in PLANNED to packed tables in DECODED."""

    def __init__(self, make_worker: partial[Any]) -> None:
        self._worker: Callable[[pa.Table], Iterator[pa.Table]] = make_worker()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for table in self._worker(batch):
            yield pack(table)


class AnswerCalls:
    """An answer worker as Ray Data calls it: a packed table in DECODED to a packed table of receipts."""

    def __init__(self, make_worker: partial[Any]) -> None:
        self._worker: Callable[[pa.Table], pa.Table] = make_worker()

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pack(self._worker(unpack(batch)))
