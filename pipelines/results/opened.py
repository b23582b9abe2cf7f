"""An output that is open for SQL: the connection, the files behind it, and what its records say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealRecord
from framegate.pipelines.results.sealed_files import SealedTable
from framegate.pipelines.store.sealed_filesystem import SealedFilesystem


@dataclass(frozen=True, kw_only=True)
class Opened:
    """
    tables     the sealed files of each table, as they were listed
    records    of the seals of each config_id that has files (see `SealedTables`)
    paths      where files lie that DuckDB opens itself, by their names in `files`; see `SealedFilesystem.direct_paths`
    config_id  the only one that views show; None: all of them
    """

    output: Output
    connection: duckdb.DuckDBPyConnection
    files: SealedFilesystem
    tables: Mapping[str, SealedTable]
    records: Mapping[str, Sequence[SealRecord]]
    config_id: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)

    def columns(self, view: str) -> list[str]:
        """The columns of a view that is made, in order."""
        return self.connection.table(view).columns
