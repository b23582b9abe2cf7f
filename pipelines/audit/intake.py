"""Rows as an audit takes them in: keys go to the spool, sealed rows are counted by run, erased ones are counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.audit.keys import (
    CLIP,
    DEEPENED,
    FAILURE,
    KEY_ROW,
    LABEL,
    RESULT,
    UNSEALED,
    KeySpool,
    Names,
    row_keys,
)
from framegate.pipelines.commit.tombstones import erased_among
from framegate.schemas.counts import SEALED_COUNTS, Counts
from framegate.schemas.gate_reason import DEFERRED
from framegate.schemas.keys import id_number

SUMMED: Final = tuple(name for name in SEALED_COUNTS if name != "num_clips")
"""The counts of a run that are summed over files. Two files may have rows of one clip, which counts once."""

_KEY: Final = ("video_id", "clip_index", "question_hash", "run_id")
_DEEPENED_BY: Final = "deepened_run_id"
_COLUMNS: Final = {
    RESULT: (*_KEY, "status", "thinking", "num_answer_tokens", "num_thinking_tokens", "gate_reason", _DEEPENED_BY),
    FAILURE: (*_KEY, "attempts"),
    UNSEALED: (*_KEY, "attempts"),
    CLIP: ("video_id", "clip_index", "clip_policy", "run_id"),
}


@dataclass
class Intake:
    """The rows that were read so far. `tombstones` are the digests of all URIs that were erased; `pairs` are the
    (run_id, config_id) that have rows."""

    spool: KeySpool
    tombstones: frozenset[str] = frozenset()
    runs: Names = field(default_factory=Names)
    configs: Names = field(default_factory=Names)
    files: Names = field(default_factory=Names)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    num_rows: dict[int, int] = field(default_factory=lambda: dict.fromkeys(_COLUMNS, 0))

    def columns(self, table: int) -> list[str]:
        """The columns that `take` needs of the rows of one table."""
        return [*_COLUMNS[table], *(["video_uri"] if self.tombstones else [])]

    def take(self, rows: pa.Table, *, table: int, config_id: str, file: str) -> dict[int, Counts]:
        """Takes in rows with `columns(table)`. Returns the SUMMED counts by number of a run; none of
        clips, nor if unsealed.

        Raises FramegateError where an id is not an id.
        """
        run = self.runs.codes(rows.column("run_id"))
        config, number = self.configs.code(config_id), -1 if table == UNSEALED else self.files.code(file)
        self.spool.add_rows(row_keys(rows, table=table, config=config, file=number, run=run))
        self.num_rows[table] += rows.num_rows
        self.pairs |= {(self.runs.names[code], config_id) for code in np.unique(run).tolist()}
        if table in (UNSEALED, CLIP):
            return {}
        counts = _count(rows, table, run)
        if _DEEPENED_BY in rows.column_names:  # files of earlier versions lack it
            for code, deepened in self._take_deepened(rows, config).items():
                counts[code] = counts.get(code, Counts()).plus(deepened)
        return counts

    def _take_deepened(self, rows: pa.Table, config: int) -> dict[int, Counts]:
        """The rows that were deepened, as those of the runs that did so."""
        rows = rows.filter(rows.column(_DEEPENED_BY).is_valid())
        if not rows.num_rows:
            return {}
        run = self.runs.codes(rows.column(_DEEPENED_BY))
        self.spool.add_rows(row_keys(rows, table=DEEPENED, config=config, file=-1, run=run))
        tokens = rows.column("num_thinking_tokens").to_numpy()
        return {
            int(code): Counts(num_deepened=int((run == code).sum()), num_deepened_tokens=int(tokens[run == code].sum()))
            for code in np.unique(run)
        }

    def take_labels(self, labels: Iterable[tuple[str, str, int, str]]) -> None:
        """(config_id, video_id, clip_index, question_hash) of labels, each of which should be of a row."""
        keys = np.array(
            [
                (id_number(video), id_number(question), clip, 0, -1, -1, self.configs.code(config), LABEL, True)
                for config, video, clip, question in labels
            ],
            KEY_ROW,
        )
        if len(keys):
            self.spool.add_rows(keys)

    def num_erased(self, rows: pa.Table) -> int:
        """How many rows are of videos that were erased."""
        if not self.tombstones:
            return 0
        uris = rows.column("video_uri")
        erased = erased_among(uris.cast(pa.string()).unique().to_pylist(), self.tombstones)
        return rows.filter(pc.field("video_uri").isin(list(erased))).num_rows if erased else 0


def _count(rows: pa.Table, table: int, run: np.ndarray) -> dict[int, Counts]:
    present, places = np.unique(run, return_inverse=True)

    def total(column: pa.ChunkedArray) -> list[int]:
        values = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
        return np.bincount(places, values, minlength=len(present)).astype(np.int64).tolist()

    num_rows = np.bincount(places, minlength=len(present)).tolist()
    if table == FAILURE:
        return {code: Counts(num_failures=number) for code, number in zip(present.tolist(), num_rows, strict=True)}
    sums = {
        "num_answers": num_rows,
        "num_unparsed": total(pc.call_function("equal", [rows.column("status"), "unparsed"])),
        "num_thinking": total(rows.column("thinking")),
        "num_answer_tokens": total(rows.column("num_answer_tokens")),
        "num_thinking_tokens": total(rows.column("num_thinking_tokens")),
        "num_deferred": total(pc.call_function("equal", [rows.column("gate_reason"), DEFERRED])),
    }
    return {
        code: Counts(**{name: values[place] for name, values in sums.items()})
        for place, code in enumerate(present.tolist())
    }
