"""Reading the journal for a seal: objects with their rows, and the rows of many objects as one table.

Manifests differ between runs, and so do the `input_` columns of journal objects: here they are given common types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.input_types import cast_input, common_type
from framegate.pipelines.commit.layout import is_unit
from framegate.pipelines.commit.quarantine import read_unit, set_aside
from framegate.pipelines.commit.seal_plan import JournalObject
from framegate.pipelines.store import Store, join
from framegate.schemas.errors import DamagedUnit, StorageError
from framegate.schemas.tables import INPUT_PREFIX, JOURNAL, NEWER_COLUMNS

_READ_AT_ONCE: Final = 128
_READERS: Final = 2  # most of a read is native code without the GIL; a third reader found nothing left to do
_TEXTS_OF_ONE_ROW: Final = ("thinking_text",)


class JournalReader:
    """Reads objects below one journal folder."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder

    def uri(self, name: str) -> str:
        return join(self._folder, name)

    def list(self) -> Iterator[tuple[str, int]]:
        """(name, size in bytes) of every object with the name of a unit, in order of the names."""
        for info in self._store.list(self._folder):
            parts = info.uri.rsplit("/", 3)
            if is_unit(name := "/".join(parts[-2:])) and parts[-3].startswith("config_id="):
                yield name, info.size_bytes

    def read(self, names: Sequence[str]) -> Iterator[tuple[JournalObject, pa.Table]]:
        """Objects with their rows, in the order given; those that do not exist are left out, and those that are no
        units are set aside (`commit.quarantine`)."""
        with ThreadPoolExecutor(_READERS) as pool:
            groups = [names[n : n + _READ_AT_ONCE] for n in range(0, len(names), _READ_AT_ONCE)]
            for some in pool.map(self._read_some, groups):
                yield from some

    def _read_some(self, names: Sequence[str]) -> list[tuple[JournalObject, pa.Table]]:
        found = []
        for name, (_, data) in zip(names, self._store.read_present(map(self.uri, names)), strict=True):
            if data is None:
                continue
            digest = hashlib.sha256(data).hexdigest()
            try:
                rows = read_unit(self.uri(name), data)
            except DamagedUnit:  # the run goes on without it: its books tell, and an audit names it
                set_aside(self._store, self.uri(name), data)
                continue
            found.append((JournalObject(name=name, size_bytes=len(data), sha256=digest), rows))
        return found


def seal_rows(tables: list[pa.Table]) -> pa.Table:
    """Rows of the journal as one table without chunks. Empties `tables`, so that their memory is freed.

    A column of the manifest that has several types becomes one that holds all of them: a wider number, or else text.
    That is decided here, over all objects of a seal, so that it does not depend on how they were grouped for reading.
    """
    aligned = _aligned(tables, promote=True)
    tables.clear()
    return pa.concat_tables(aligned).combine_chunks()


def compact(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The rows in order, with each repeated text stored once: one table, or several where column types differ."""
    if not tables:
        return []
    if not all(table.schema.equals(tables[0].schema) for table in tables):
        if any(len(types) > 1 for types in _input_types(tables).values()):
            first_of_run = [n for n in range(1, len(tables)) if not tables[n].schema.equals(tables[n - 1].schema)]
            ends = [*first_of_run, len(tables)]
            return [table for a, b in zip([0, *ends], ends, strict=False) for table in compact(tables[a:b])]
        tables = _aligned(tables, promote=False)
    rows = pa.concat_tables(tables).combine_chunks()
    for index, field in enumerate(rows.schema):
        if pa.types.is_string(field.type) and field.name not in _TEXTS_OF_ONE_ROW:
            rows = rows.set_column(index, field.name, rows.column(index).dictionary_encode())
    return [rows]


def without_video(rows: pa.Table, video_id: str) -> pa.Table:
    """The rows of all other videos."""
    return rows.filter(pc.call_function("not_equal", [rows.column("video_id").cast(pa.string()), video_id]))


def _with_newer(table: pa.Table) -> pa.Table:
    for name in sorted(NEWER_COLUMNS):
        if name not in table.column_names:
            field = JOURNAL.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def _input_types(tables: Iterable[pa.Table]) -> dict[str, set[pa.DataType]]:
    """The types of each column of the manifest, in order of their names; none where no row has a value."""
    types: dict[str, set[pa.DataType]] = {}
    for schema in {table.schema for table in tables}:
        for field in schema:
            if field.name.startswith(INPUT_PREFIX):
                found = types.setdefault(field.name, set())
                if not pa.types.is_null(field.type):
                    found.add(field.type)
    return dict(sorted(types.items()))


def _aligned(tables: Sequence[pa.Table], *, promote: bool) -> list[pa.Table]:
    """Tables with the same columns: one of the manifest, or a newer one, that one of them lacks is null there."""
    tables = [_with_newer(table) for table in tables]
    own = [name for name in tables[0].column_names if not name.startswith(INPUT_PREFIX)]
    for table in tables:
        if missing := set(own).symmetric_difference(n for n in table.column_names if not n.startswith(INPUT_PREFIX)):
            raise StorageError(
                f"objects of the journal differ in {', '.join(sorted(missing))}: other versions of the"
                " program wrote some of them: seal each with the version that wrote it"
            )
    types = {name: common_type(found, promote=promote) for name, found in _input_types(tables).items()}
    aligned = []
    for table in tables:
        columns = {name: table.column(name) for name in own}
        for name, data_type in types.items():
            there = name in table.column_names and not pa.types.is_null(table.schema.field(name).type)
            columns[name] = cast_input(table.column(name), data_type) if there else pa.nulls(table.num_rows, data_type)
        aligned.append(pa.table(columns))
    return aligned
