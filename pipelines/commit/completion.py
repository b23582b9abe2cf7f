"""Completing rows: what `framegate deepen` found out takes its place in the rows that were there.

It is a seal of another kind. Seal n of this kind has objects of the folder `deepened` in place of the journal's. Its
plan names the files that have the rows which these complete, and is executed by any number of processes, each of which
may die or freeze anywhere:

    1. complete   each of the files is read whole and replaced by If-Match: by a version marked n, in which the rows
                  have their new values. Rows that failed go to failures, as in any seal
    2. record     the files, and by run what has changed in the counts of their rows
    3. delete     the objects

Why a row is as before or as after. A row stands in one file, and that is replaced whole: a reader has the version with
the old row or the one with the new. No file is added and no row moves, so that the row is there once at any moment.

Why no row is completed twice, or half. Nothing but a replacement of a version marked before n completes rows by seal n,
and what it puts there is marked n. It takes all columns of a row from one object: the first by name that has its key.
A row that was thought about is left as it is, so that a later object with its key, of another run or of a committer
that was frozen, changes nothing.

Why each row is found. The plan is made when all seals before n are recorded and their files are marked; from then until
n is recorded no row moves, as a merge is a seal, too. A row that an erasure takes out meanwhile is not completed.

Why the record says the same whoever makes it. What has changed in the counts is written into the file beside its mark:
a sealer that goes on where another one died reads it there. An erasure keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.commit.deepened_rows import DEEPENED_KIND
from framegate.pipelines.commit.sealed_columns import align
from framegate.pipelines.commit.sealed_keys import UNIQUE_BY, KeyIndex, key_columns
from framegate.pipelines.commit.sealed_parquet import in_order
from framegate.schemas.counts import Counts
from framegate.schemas.deepening import ADDED, GATE_COLUMN, REPLACED
from framegate.schemas.gate_reason import AUDIT, DEFERRED

COMPLETED_TABLE: Final = "results"
_COUNTED: Final = (
    "num_thinking", "num_thinking_tokens", "num_unparsed", "num_deferred", "num_deepened", "num_deepened_tokens",
)  # fmt: skip


@dataclass
class Changes:
    """How many of a file's rows have changed, and what has in their counts, by run_id: of the runs that answered them,
    and of those that deepened them."""

    runs: dict[str, dict[str, int]] = field(default_factory=dict)
    num_rows: int = 0

    @staticmethod
    def of(told: Mapping[str, Any] | None) -> Changes:
        """As a mark has them."""
        return Changes() if told is None else Changes(**told)

    def to_mark(self) -> dict[str, Any]:
        return {"runs": self.runs, "num_rows": self.num_rows}

    def add(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """One row, as it was and as it is. The columns are those of COUNTED_BY."""
        self.num_rows += 1
        tokens = int(after["num_thinking_tokens"])
        self._add(
            before["run_id"],
            num_thinking=int(after["thinking"]) - int(before["thinking"]),
            num_thinking_tokens=tokens - int(before["num_thinking_tokens"]),
            num_unparsed=int(after["status"] == "unparsed") - int(before["status"] == "unparsed"),
            num_deferred=int(after["gate_reason"] == DEFERRED) - int(before["gate_reason"] == DEFERRED),
        )
        # A row of the audit sample that a run has deepened stays that run's when its second answer comes to count.
        if before.get("deepened_run_id") is not None:
            old = int(before["num_thinking_tokens"])
            self._add(before["deepened_run_id"], num_deepened=-1, num_deepened_tokens=-old)
        if after["deepened_run_id"] is not None:
            self._add(after["deepened_run_id"], num_deepened=1, num_deepened_tokens=tokens)

    def _add(self, run_id: str, **numbers: int) -> None:
        mine = self.runs.setdefault(run_id, dict.fromkeys(_COUNTED, 0))
        for name, number in numbers.items():
            mine[name] += number

    def counts(self) -> dict[str, Counts]:
        """As the record of a seal has them; some may be below 0."""
        return {run_id: Counts(**numbers) for run_id, numbers in sorted(self.runs.items())}


TOUCHED_BY: Final = (*UNIQUE_BY[COMPLETED_TABLE], "thinking", "gate_reason", "deepened_at")

COUNTED_BY: Final = ("run_id", "deepened_run_id", "thinking", "num_thinking_tokens", "status", "gate_reason")


class Completions:
    """The deepened rows of a seal, the first of each key."""

    def __init__(self, rows: pa.Table) -> None:
        """`rows` of journal objects, in order of their names; other kinds of rows are passed over."""
        is_one = pc.call_function("equal", [rows.column("row_kind").cast(pa.string()), DEEPENED_KIND])
        rows = rows.filter(is_one).combine_chunks()
        self.keys = KeyIndex(key_columns(COMPLETED_TABLE, rows))
        self._rows = rows.take(pa.array(self.keys.first_rows()))
        self._counted = self._rows.select(list(COUNTED_BY))
        self._is_audited = np.append(_is_audited(self._rows), False)  # the last one: of what has no place
        columns = key_columns(COMPLETED_TABLE, self._rows)
        self._videos = np.unique(columns[0])
        keys = zip(*(column.tolist() for column in columns), strict=True)
        self._places = {key: place for place, key in enumerate(keys)}

    def changes(self, data: bytes) -> Changes:
        """What they change in a file with these bytes. Raises what pyarrow raises where the file is damaged."""
        file, changes = _open(data), Changes()
        there = [name for name in (*TOUCHED_BY, *COUNTED_BY) if name in file.schema_arrow.names]
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number, columns=list(dict.fromkeys(there)))
            old, new = self._matches(rows)
            before, after = rows.take(pa.array(old)).to_pylist(), self._counted.take(pa.array(new)).to_pylist()
            for one in zip(before, after, strict=True):
                changes.add(*one)
        return changes

    def row_groups(self, data: bytes, schema: pa.Schema) -> Iterator[pa.Table]:
        """The row groups of the same file, completed, with the columns of `schema`: one in memory at a time.

        The same arguments give the same rows. Raises what pyarrow raises where the file is damaged.
        """
        file, new = _open(data), align(self._rows, schema)
        for number in range(file.num_row_groups):
            rows = align(file.read_row_group(number), schema).combine_chunks()
            if rows.num_rows:
                yield in_order(COMPLETED_TABLE, self._complete_group(rows, new))

    def touch(self, rows: pa.Table) -> bool:
        """Whether they complete any of these rows of results, which have the columns of TOUCHED_BY."""
        return bool(len(self._matches(rows)[0]))

    def _complete_group(self, rows: pa.Table, new: pa.Table) -> pa.Table:
        here, there = self._matches(rows)
        if not len(here):
            return rows
        source = np.arange(rows.num_rows)
        source[here] = rows.num_rows + there
        for name, column in _new_columns(rows, new, here, there, source):
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.schema.field(place), column)
        return rows

    def _matches(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """The positions of rows that are to be completed, and those of what completes them."""
        columns = key_columns(COMPLETED_TABLE, rows)
        may_be = np.isin(columns[0], self._videos) & ~is_final(rows)
        candidates = np.flatnonzero(may_be)
        keys = zip(*(column[candidates].tolist() for column in columns), strict=True)
        places = np.array([self._places.get(key, -1) for key in keys], np.int64)
        # A row that has thought for the sample is not completed by an object that has it do so once more.
        is_matched = (places >= 0) & ~(_is_audited(rows)[candidates] & self._is_audited[places])
        return candidates[is_matched], places[is_matched]


def _open(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)


def is_final(rows: pa.Table) -> np.ndarray:
    """For each row of results whether it was thought about, or deepened, already. One of the audit sample is not: its
    second answer may come to count. Files of earlier versions do not say when a row was deepened."""
    is_done = rows.column("thinking").to_numpy()
    if "deepened_at" in rows.column_names:
        is_done = is_done | rows.column("deepened_at").is_valid().to_numpy()
    return is_done & ~_is_audited(rows)


def _is_audited(rows: pa.Table) -> np.ndarray:
    return pc.call_function("equal", [rows.column("gate_reason").cast(pa.string()), AUDIT]).to_numpy()


def _new_columns(
    rows: pa.Table, new: pa.Table, here: np.ndarray, there: np.ndarray, source: np.ndarray
) -> Iterator[tuple[str, pa.ChunkedArray | pa.Array]]:
    """`source`: for each row its place among the old rows, or behind these among the new ones."""
    indices = pa.array(source)
    for name in REPLACED:
        yield name, _chained(rows, new, name).take(indices)
    for name in ADDED:
        yield name, _sums(rows.column(name), new.column(name), here, there)
    kept = np.where(new.column(GATE_COLUMN).is_valid().to_numpy()[there], source[here], here)
    source = np.arange(rows.num_rows)
    source[here] = kept
    yield GATE_COLUMN, _chained(rows, new, GATE_COLUMN).take(pa.array(source))


def _chained(rows: pa.Table, new: pa.Table, name: str) -> pa.ChunkedArray:
    return pa.chunked_array([*rows.column(name).chunks, *new.column(name).chunks])


def _sums(old: pa.ChunkedArray, new: pa.ChunkedArray, here: np.ndarray, there: np.ndarray) -> pa.Array:
    """The old values, plus the new ones where there is one. What was not known stays so."""
    values = pc.fill_null(old, 0.0).to_numpy().copy()
    values[here] += pc.fill_null(new, 0.0).to_numpy()[there]
    return pa.array(values, old.type, mask=old.is_null().to_numpy())


def sum_changes(each: Iterable[Changes]) -> Changes:
    """Of several files."""
    total = Changes()
    for changes in each:
        total.num_rows += changes.num_rows
        for run_id, numbers in changes.runs.items():
            mine = total.runs.setdefault(run_id, dict.fromkeys(_COUNTED, 0))
            for name, number in numbers.items():
                mine[name] += number
    return total
