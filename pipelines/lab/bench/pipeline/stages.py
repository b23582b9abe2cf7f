"""The two stages of a run, which here wait for each other at the start and report what the engine did with its time.

Workers do what they do in any run. They wait for each other before the first video, so that the measured time contains
neither the start of processes nor the loading of a model.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from framegate.pipelines.worker.answer_worker import AnswerWorker
from framegate.pipelines.worker.decode_worker import DecodeWorker
from framegate.schemas.unit import DecodedUnit

POLL_SECONDS = 0.002
START_SECONDS = 600  # for processes to start and a model to be loaded
OWN_COLUMNS = ("worker", "engine_states")


@dataclass(frozen=True, kw_only=True)
class StartLine:
    """A folder in which each of `num_workers` processes leaves a file when it is ready."""

    folder: Path
    num_workers: int

    def arrive(self) -> None:
        (self.folder / str(os.getpid())).touch()

    def wait(self) -> None:
        """Until all are there. Raises TimeoutError."""
        deadline = time.monotonic() + START_SECONDS
        while len(list(self.folder.iterdir())) < self.num_workers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all of {self.num_workers} workers were ready after {START_SECONDS} seconds")
            time.sleep(POLL_SECONDS)


class WaitingDecode(DecodeWorker):
    """DecodeWorker that waits until all are ready."""

    def __init__(self, *, line: StartLine, **options: Any) -> None:
        super().__init__(**options)
        self._line: StartLine | None = line
        line.arrive()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        if self._line is not None:
            self._line.wait()
            self._line = None
        yield from super().__call__(batch)


class WarmCommit(AnswerWorker):
    """AnswerWorker whose engine has answered one unit (an Arrow file, DECODED) before it says that it is ready.

    Receipts have two columns more: the worker, and the seconds that its engine spent in each of `occupancy.STATES`
    from the start until then, as JSON.
    """

    def __init__(self, *, line: StartLine, warm_up: Path, **options: Any) -> None:
        super().__init__(**options)
        with pa.OSFile(str(warm_up), "rb") as file:
            unit = pa.ipc.open_file(file).read_all()
        list(self._stage.answer_each([*DecodedUnit.from_table(unit)]))
        self._stage.occupancy.reset()
        self._line: StartLine | None = line
        line.arrive()

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self._line is not None:
            self._line.wait()
            self._line = None
        receipts = super().__call__(batch)
        states = json.dumps(self._stage.occupancy.read())
        for name, value in zip(OWN_COLUMNS, (str(os.getpid()), states), strict=True):
            receipts = receipts.append_column(name, pa.array([value] * receipts.num_rows))
        return receipts


def write_warm_up(unit: pa.Table, path: Path) -> None:
    """Write a unit to the file that WarmCommit reads."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, unit.schema) as writer:
        writer.write_table(unit)
    path.write_bytes(sink.getvalue().to_pybytes())
