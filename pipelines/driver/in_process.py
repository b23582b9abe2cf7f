"""The stages one after the other in this process, without Ray. The same rows come of it.

Knows stages as callables over Arrow tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa


def run_in_process(
    videos: pa.Table,
    decode: Callable[[pa.Table], Iterable[pa.Table]],
    answer: Callable[[pa.Table], pa.Table],
) -> Iterator[dict[str, Any]]:
    """The receipts of all units, as they are committed, one unit at a time."""
    for place in range(videos.num_rows):
        for unit in decode(videos.slice(place, 1)):
            yield from answer(unit).to_pylist()
