"""Which file the rows of a seal go to: a partition's last one until it is full, and then a new one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.batches import count_outputs
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_plan import FileName
from framegate.pipelines.commit.sealed_columns import Inputs, can_hold, sealed_schema
from framegate.pipelines.commit.sealed_file import SealedFile, columns_digest
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import read_parquet

MAX_GROWN_BYTES: Final = 512 * 2**20
"""A file as large as this is not added to, whatever its full size: it is in memory twice while it grows."""


class OpenFiles:
    """The files of an output after a seal, of which those below `file_bytes` may be added to."""

    def __init__(self, output: Output, files: Iterable[SealedFile], *, file_bytes: int, inputs: Inputs) -> None:
        self._output = output
        self._inputs = inputs
        self._open: dict[tuple[str, str], list[SealedFile]] = {}
        for file in sorted(files, key=lambda file: file.number, reverse=True):
            if file.size_bytes < min(file_bytes, MAX_GROWN_BYTES):
                self._open.setdefault((file.table, file.partition), []).append(file)

    @property
    def sizes(self) -> dict[tuple[str, str], int]:
        """Bytes of the last open file of each table and partition."""
        return {place: files[0].size_bytes for place, files in self._open.items()}

    def choose(self, rows: pa.Table, partition_by: Sequence[str], *, seal: int) -> tuple[FileName, ...]:
        """The file that each table and partition of a seal's rows goes to: the last open one with the right columns.

        Raises StorageError where a file's columns cannot be read.
        """
        return tuple(
            FileName(table=table, partition=partition, number=self._number(table, partition, rows, seal))
            for table, partition in sorted(count_outputs(rows, partition_by))
        )

    def _number(self, table: str, partition: str, rows: pa.Table, seal: int) -> int:
        fitting = (file.number for file in self._open.get((table, partition), ()) if self._fits(file, table, rows))
        return next(fitting, seal)

    def _fits(self, file: SealedFile, table: str, rows: pa.Table) -> bool:
        if file.columns == columns_digest(sealed_schema(table, rows.schema, self._inputs)):
            return True
        uri = join(self._output.root, file.uri)
        return can_hold(table, read_parquet(self._output.store, uri, lambda found: found.schema_arrow), rows)
