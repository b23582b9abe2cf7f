"""The order of the work: long videos cut into parts, the largest work first.

How long a video is, is not known before it is opened, and no header is read for it: the size in storage is the forecast
of its work. A row says "part 3 of 12"; the worker that opens the video finds out which clips that is (`decode.part`).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from framegate.schemas.tables import PARTS

PARTS_PER_WORKER = 16  # what is left at the end, while others have nothing, is a fraction of one of them
MIN_PART_BYTES = 32 * 2**20  # opening a video a second time costs its index, about 1 MiB an hour
MAX_PART_BYTES = 2**30  # a film of few bytes and many hours is small work by its size: it is cut all the same
MAX_PARTS = 1000
SMALL = 4  # what is this many times smaller than a part stays where it is: the order no longer matters


def order_work(videos: pa.Table, *, num_workers: int, is_shared: bool, keeps_order: bool = False) -> pa.Table:
    """`videos` (PLANNED) as PARTS: what is larger than a part is cut where `is_shared`; large work comes first, unless
    the order is kept.

    A part is a share of all bytes by the number of workers. A whole archive of middling videos is cut nowhere.
    """
    refused = videos.column("refusal").is_valid().to_numpy()
    sizes = np.where(refused, 0, videos.column("video_size_bytes").to_numpy()).astype(np.int64)
    part_bytes = max(1, min(MAX_PART_BYTES, max(MIN_PART_BYTES, int(sizes.sum()) // (PARTS_PER_WORKER * num_workers))))
    num_parts = np.clip(-(-sizes // part_bytes), 1, MAX_PARTS if is_shared and num_workers > 1 else 1)
    work = sizes / num_parts
    large = np.flatnonzero((work * SMALL > part_bytes) & (not keeps_order))
    large = large[np.argsort(-work[large], kind="stable")]
    is_small = np.ones(len(sizes), bool)
    is_small[large] = False
    order = np.concatenate([large, np.flatnonzero(is_small)])
    counts = num_parts[order]
    ends = np.cumsum(counts)
    part = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
    rows = videos.take(pa.array(np.repeat(order, counts)))
    columns = [*rows.columns, pa.array(part, pa.int32()), pa.array(np.repeat(counts, counts), pa.int32())]
    return pa.Table.from_arrays(columns, schema=PARTS)


def has_parts(work: pa.Table) -> bool:
    """Whether any video of `work` (PARTS) was cut."""
    return bool((work.column("num_parts").to_numpy() > 1).any())


def deepens(videos: pa.Table) -> bool:
    """Whether rows of `videos` (PLANNED) are deepened, and nothing else is asked."""
    return videos.column("wanted").null_count < videos.num_rows
