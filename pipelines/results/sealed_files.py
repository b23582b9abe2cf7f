"""Which sealed files an output has, in which partition and with which columns of manifests.

A listing names the files with their sizes and versions. A file is opened for its footer alone where nothing else tells
which columns of manifests it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import NULL
from framegate.pipelines.store import ObjectInfo
from framegate.pipelines.store.parquet import one_of_ours
from framegate.pipelines.store.sealed_filesystem import SealedFilesystem
from framegate.schemas.tables import INPUT_PREFIX

REQUESTS_AT_ONCE: Final = 32
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class SealedTable:
    """The files of one table, by their names below the output, and what their rows have beside the table's own columns.

    inputs      columns of manifests, in order of their first file; text where files disagree about the type
    partitions  the folders of the path, config_id among them, with their values as they stand there (encoded) and as
                they are; None: rows without one
    """

    files: Mapping[str, ObjectInfo]
    inputs: Mapping[str, pa.DataType]
    partitions: Mapping[str, Mapping[str, str | None]]


def read_sealed_tables(
    output: Output, tables: Iterable[str], *, with_inputs: bool
) -> tuple[dict[str, SealedTable], SealedFilesystem]:
    """The tables, fresh from storage, and a file system of all their files at the versions that were listed.

    Without `with_inputs` the columns of manifests are left out. Raises StorageError.
    """
    names = [*tables]
    listed = dict(zip(names, at_once(output, lambda table: _list(output, table), names), strict=True))
    infos = {name: info for files in listed.values() for name, info in files.items()}
    files = SealedFilesystem(output.store, infos)
    read = at_once(output, lambda name: _read_inputs(files, name, infos[name]), infos) if with_inputs else []
    inputs = dict(zip(infos, read, strict=False))
    found = {
        table: SealedTable(
            files=of_table,
            inputs=_merged(inputs[name] for name in of_table if with_inputs),
            partitions=_partitions(of_table),
        )
        for table, of_table in listed.items()
    }
    return found, files


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


def _read_inputs(files: SealedFilesystem, name: str, info: ObjectInfo) -> dict[str, pa.DataType]:
    with one_of_ours(info.uri), files.open(name) as file:
        schema = pq.ParquetFile(file).schema_arrow
    return {field.name: field.type for field in schema if field.name.startswith(INPUT_PREFIX)}


def _merged(of_files: Iterable[Mapping[str, pa.DataType]]) -> dict[str, pa.DataType]:
    merged: dict[str, pa.DataType] = {}
    for columns in of_files:
        for name, data_type in columns.items():
            if merged.setdefault(name, data_type) != data_type:
                merged[name] = pa.string()  # one manifest called it a number, another a text: text holds both
    return merged


def _partitions(names: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """config_id is the first of them, also where no file has one."""
    values: dict[str, dict[str, str | None]] = {"config_id": {}}
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        for part in folder.split("/")[1:]:
            key, has_value, value = part.partition("=")
            if has_value:
                values.setdefault(key, {})[value] = None if value == NULL else unquote(value)
    return values
