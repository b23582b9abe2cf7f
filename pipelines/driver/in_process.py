"""A run without Ray: both workers in this process, one unit after the other. It commits the same rows."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from typing import Protocol

import pyarrow as pa

from framegate.pipelines.commit.journal import Receipt
from framegate.schemas.unit import DecodedUnit, PlannedVideo


class Decoding(Protocol):
    """`pipelines.worker.decode_worker.DecodeWorker` is one."""

    def decode(self, planned: PlannedVideo) -> Iterable[DecodedUnit]: ...


class Answering(Protocol):
    """`pipelines.worker.answer_worker.AnswerWorker` is one."""

    def answer_block(self, block: Sequence[DecodedUnit]) -> Sequence[Receipt]: ...

    def close(self) -> None: ...


def run_in_process(videos: pa.Table, decoding: Decoding, answering: Answering) -> Generator[Receipt]:
    """The receipts of all units of `videos` (PLANNED), as they are committed, until one has none: the budget is spent.

    Closes `answering` at the end.
    """
    with closing(answering):
        for row in range(videos.num_rows):
            for planned in PlannedVideo.from_table(videos.slice(row, 1)):
                for unit in decoding.decode(planned):
                    receipts = answering.answer_block([unit])
                    if not receipts:
                        return
                    yield from receipts
