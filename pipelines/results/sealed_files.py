"""Which sealed files an output has, in which partition and with which columns of manifests.

A listing names the files with their sizes and versions. Which columns a file has stands in the record of the seal that
wrote it, and never changes. A file that no record describes, of an older version or of a seal that is under way, is
opened for its footer. Files that a merge has half done with are left out (`pipelines.results.merging`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.input_types import common_type, parse_types
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import NULL
from framegate.pipelines.commit.seal_log import SealLog, SealRecord, files_of
from framegate.pipelines.commit.sealed_columns import SCHEMAS
from framegate.pipelines.commit.sealed_file import SealedFile, columns_digest
from framegate.pipelines.results.merging import left_out
from framegate.pipelines.store import ObjectInfo
from framegate.pipelines.store.parquet import one_of_ours
from framegate.pipelines.store.sealed_filesystem import SealedFilesystem
from framegate.schemas.errors import CredentialsError, StorageError
from framegate.schemas.tables import INPUT_PREFIX

REQUESTS_AT_ONCE: Final = 32
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class SealedTable:
    """The files of one table, by their names below the output, and what their rows have beside the table's own columns.

    inputs      columns of manifests, by name
    partitions  the folders of the path, config_id among them, with their values as they stand there (encoded) and as
                they are; None: rows without one
    is_uniform  every file is known to have the columns of this version of the table, the same ones of manifests, and
                the same folders in its path
    """

    files: Mapping[str, ObjectInfo]
    inputs: Mapping[str, pa.DataType]
    partitions: Mapping[str, Mapping[str, str | None]]
    is_uniform: bool = False


EMPTY_TABLE: Final = SealedTable(files={}, inputs={}, partitions={"config_id": {}})
"""Of a table without files, or whose files were not looked for."""


@dataclass(frozen=True, kw_only=True)
class SealedTables:
    """The tables by name, and a file system of all their files at the versions that were listed.

    records   of the seals of each config_id that has files, read after these were listed; none where one is damaged
    """

    tables: Mapping[str, SealedTable]
    files: SealedFilesystem
    records: Mapping[str, Sequence[SealRecord]]


def read_sealed_tables(output: Output, tables: Iterable[str], *, with_inputs: bool) -> SealedTables:
    """Fresh from storage. Without `with_inputs` the columns of manifests are left out. Raises StorageError."""
    names = [*tables]
    listed = dict(zip(names, at_once(output, lambda table: _list(output, table), names), strict=True))
    by_config: dict[str, list[str]] = {}
    for name in (name for files in listed.values() for name in files):
        if config_id := config_id_of(name):
            by_config.setdefault(config_id, []).append(name)
    seals = at_once(output, lambda config_id: _read_seals(output, config_id, by_config[config_id]), by_config)
    records = {config_id: found for config_id, (found, _) in zip(by_config, seals, strict=True)}
    hidden = frozenset[str]().union(*(names for _, names in seals))
    listed = {table: {name: files[name] for name in files if name not in hidden} for table, files in listed.items()}
    infos = {name: info for files in listed.values() for name, info in files.items()}
    files = SealedFilesystem(output.store, infos)
    inputs: dict[str, Mapping[str, pa.DataType]] = {}
    digests: dict[str, str | None] = {}
    if with_inputs:
        recorded = {uri: file for of_config in records.values() for uri, file in files_of(of_config).items()}
        digests |= {name: file.columns for name, file in recorded.items()}
        inputs |= _recorded_inputs(recorded)
        unknown = [name for name in infos if name not in inputs]
        inputs |= zip(
            unknown, at_once(output, lambda name: _read_inputs(files, name, infos[name]), unknown), strict=True
        )
    found = {}
    for table, of_table in listed.items():
        merged = _merged(inputs[name] for name in of_table if with_inputs)
        found[table] = SealedTable(
            files=of_table,
            inputs=merged,
            partitions=_partitions(of_table),
            is_uniform=_is_uniform(table, of_table, digests, merged),
        )
    return SealedTables(tables=found, files=files, records=records)


def at_once(output: Output, ask: Callable[[str], _Result], names: Iterable[str]) -> list[_Result]:
    """What `ask` gives for each name: many requests at a time, but one after the other on a local disk, where a thread
    takes longer to start than most of them take."""
    if output.store.is_local(output.root):
        return [ask(name) for name in names]
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
        return [*threads.map(ask, names)]


def _list(output: Output, table: str) -> dict[str, ObjectInfo]:
    infos = [info for info in output.list(table) if info.uri.endswith(".parquet")]
    return {f"{table}/{info.uri.rpartition(f'/{table}/')[2]}": info for info in infos}


def _is_uniform(
    table: str, names: Iterable[str], digests: Mapping[str, str | None], inputs: Mapping[str, pa.DataType]
) -> bool:
    wanted = columns_digest(pa.schema([*SCHEMAS[table], *(pa.field(name, inputs[name]) for name in sorted(inputs))]))
    folders = {tuple(part.partition("=")[0] for part in name.split("/")[1:-1]) for name in names}
    return len(folders) == 1 and all(digests.get(name) == wanted for name in names)


def config_id_of(name: str) -> str:
    """Of a sealed file; empty where its name has none."""
    return name.partition("config_id=")[2].partition("/")[0]


def _recorded_inputs(recorded: Mapping[str, SealedFile]) -> dict[str, dict[str, pa.DataType]]:
    """The columns of manifests of each file whose record names them."""
    described = {name: parse_types(file.inputs) for name, file in recorded.items() if file.inputs is not None}
    return {name: types for name, types in described.items() if types is not None}


def _read_seals(output: Output, config_id: str, names: Sequence[str]) -> tuple[Sequence[SealRecord], frozenset[str]]:
    """The records of the seals of a config_id, and those of its files, which were listed before, that are left out."""
    log = SealLog(output, config_id)
    try:
        records = log.read_records()
        return records, left_out(log, names, records)
    except CredentialsError:
        raise
    except StorageError:  # a record is lost or damaged, which is the audit's to tell: the footers say what files have
        return [], frozenset()


def _read_inputs(files: SealedFilesystem, name: str, info: ObjectInfo) -> dict[str, pa.DataType]:
    with one_of_ours(info.uri), files.open(name) as file:
        schema = pq.ParquetFile(file).schema_arrow
    return {field.name: field.type for field in schema if field.name.startswith(INPUT_PREFIX)}


def _merged(of_files: Iterable[Mapping[str, pa.DataType]]) -> dict[str, pa.DataType]:
    """One type for each column: the wider number, or text, which holds what any manifest called by one name."""
    types: dict[str, set[pa.DataType]] = {}
    for columns in of_files:
        for name, data_type in columns.items():
            types.setdefault(name, set()).add(data_type)
    return {name: common_type(found - {pa.null()}, promote=True) for name, found in sorted(types.items())}


def _partitions(names: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """config_id is the first of them, also where no file has one."""
    values: dict[str, dict[str, str | None]] = {"config_id": {}}
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        for part in folder.split("/")[1:]:
            key, has_value, value = part.partition("=")
            if has_value:
                values.setdefault(key, {})[value] = None if value == NULL else unquote(value)
    return values
