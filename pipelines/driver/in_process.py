"""The stages one after the other in this process, without Ray. The same rows come of it.

Knows stages as callables over Arrow tables, and that answering has something to close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Protocol

import pyarrow as pa


class Answering(Protocol):
    def __call__(self, batch: pa.Table) -> pa.Table: ...

    def close(self) -> None: ...


def run_in_process(
    videos: pa.Table, decode: Callable[[pa.Table], Iterable[pa.Table]], answer: Answering
) -> Iterator[dict[str, Any]]:
    """The receipts of all units, as they are committed, one unit at a time. Closes `answer` at the end."""
    with closing(answer):
        for place in range(videos.num_rows):
            for unit in decode(videos.slice(place, 1)):
                yield from answer(unit).to_pylist()
