"""Rows as an audit takes them in: their keys into the spool, the sums of sealed ones by run, the erased by number.

Knows nothing of where a table comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.audit.keys import FAILURE, RESULT, WAITING, KeySpool, Names, row_keys
from framegate.pipelines.commit.tombstones import erased_among

SUMS: Final = ("num_answers", "num_failures", "num_thinking", "num_answer_tokens", "num_thinking_tokens")
"""What is summed for each run, as the run's own record calls it."""

KEYS: Final = ("video_id", "clip_index", "question_hash", "run_id")
ANSWER_SUMS: Final = ("thinking", "num_answer_tokens", "num_thinking_tokens")
COLUMNS: Final = {
    RESULT: (*KEYS, *ANSWER_SUMS),
    FAILURE: (*KEYS, "attempts"),
    WAITING: (*KEYS, "attempts"),
}
"""The columns that an audit reads of each kind; video_uri and config_id where they are asked for."""


@dataclass
class Intake:
    """Where the rows go. `tombstones` are the digests of all URIs that were erased."""

    spool: KeySpool
    tombstones: frozenset[str] = frozenset()
    runs: Names = field(default_factory=Names)
    configs: Names = field(default_factory=Names)
    files: Names = field(default_factory=Names)
    num_rows: dict[int, int] = field(default_factory=lambda: dict.fromkeys((RESULT, FAILURE, WAITING), 0))

    def columns(self, kind: int) -> list[str]:
        """What to read of a table for `take`."""
        return [*COLUMNS[kind], *(["video_uri"] if self.tombstones else [])]

    def take(self, table: pa.Table, *, kind: int, config_id: str, file: str) -> dict[int, np.ndarray]:
        """One table with `columns(kind)`. Returns SUMS for each number of a run, none for rows that wait. Raises
        FramegateError where an id is none."""
        run = self.runs.codes(table.column("run_id"))
        config, place = self.configs.code(config_id), -1 if kind == WAITING else self.files.code(file)
        self.spool.add_rows(row_keys(table, kind=kind, config=config, file=place, run=run))
        self.num_rows[kind] += table.num_rows
        return {} if kind == WAITING else _sums(table, kind, run)

    def num_erased(self, table: pa.Table) -> int:
        """How many rows are of videos that were erased."""
        if not self.tombstones:
            return 0
        uris = table.column("video_uri")
        gone = erased_among(uris.cast(pa.string()).unique().to_pylist(), self.tombstones)
        return table.filter(pc.field("video_uri").isin(list(gone))).num_rows if gone else 0


def _sums(table: pa.Table, kind: int, run: np.ndarray) -> dict[int, np.ndarray]:
    present = np.unique(run)
    places = np.searchsorted(present, run)
    sums = np.zeros((len(present), len(SUMS)), np.int64)
    if kind == FAILURE:
        sums[:, 1] = np.bincount(places, minlength=len(present))
    else:
        sums[:, 0] = np.bincount(places, minlength=len(present))
        for place, name in enumerate(ANSWER_SUMS, start=2):
            values = pc.fill_null(table.column(name).cast(pa.int64()), 0).to_numpy()
            sums[:, place] = np.bincount(places, values, minlength=len(present)).astype(np.int64)
    return {int(code): sums[place] for place, code in enumerate(present)}
