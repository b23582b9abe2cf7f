"""Bringing sealed files up to date: those that lack a column of the output, or have config_id as one.

A file that was written before a manifest had a column lacks it. Files of earlier versions have config_id as a column,
which stands in their path as well, and readers of hive partitions disagree about such a column.

A migration is a seal like any other (`pipelines.commit.seal`), whose plan names files and no journal objects: it adds
no row to them, and each file that a seal touches gets all columns of the output. So a file is replaced as a whole, by
its next version, and a plain glob is right at any moment. Any number of processes may migrate at once, beside runs,
seals and erasures, and each may die anywhere: the next one goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.input_types import parse_types
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.output_inputs import read_inputs
from framegate.pipelines.commit.seal_log import FileName, SealLog, SealPlan, files_of
from framegate.pipelines.commit.sealed_columns import Inputs, is_of_this_version, is_up_to_date, sealed_schema
from framegate.pipelines.commit.sealed_file import SealedFile, columns_digest
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import read_parquet
from framegate.schemas.errors import ConfigError
from framegate.schemas.tables import CONFIG_ID

MAX_PLAN_BYTES: Final = 128 * 2**20
"""Files of one seal have no more than this together, or are one alone: a process that dies repeats that much."""


def choose_outdated(
    output: Output, files: Iterable[SealedFile], *, file_bytes: int, seal: int, inputs: Inputs, tried: Collection[str]
) -> SealPlan | None:
    """The plan that brings some outdated files up to date; None where there are none but those that were `tried`.

    Raises ObjectNotFound where a file has been merged into another one since, StorageError.
    """
    chosen: list[SealedFile] = []
    size_bytes = 0
    for file in sorted(files, key=lambda file: file.uri):
        if file.uri in tried or not is_outdated(output, file, inputs):
            continue
        if chosen and size_bytes + file.size_bytes > MAX_PLAN_BYTES:
            break
        chosen.append(file)
        size_bytes += file.size_bytes
    if not chosen:
        return None
    names = (FileName(table=file.table, partition=file.partition, number=file.number) for file in chosen)
    return SealPlan(seal=seal, objects=(), outputs=tuple(sorted(names)), partition_by=(), file_bytes=file_bytes)


def is_outdated(output: Output, file: SealedFile, inputs: Inputs) -> bool:
    """Whether a file that this version can write to lacks columns, or has config_id or other types. The record says so
    of most; one whose own columns are not those of this version is opened."""
    return not _is_as_written_now(output, file, inputs) and is_of_this_version(file.table, _read_schema(output, file))


def count_outdated(output: Output, config_id: str) -> int:
    """Sealed files of a config_id that do not have the columns of the output. Raises StorageError."""
    inputs = read_inputs(output)
    files = files_of(SealLog(output, config_id).read_records()).values()
    return sum(not _is_as_written_now(output, file, inputs) for file in files)


def check_is_migrated(output: Output) -> None:
    """Raises ConfigError where files of an earlier version have config_id as a column, StorageError."""
    for config_id in sealed_config_ids(output):
        for file in files_of(SealLog(output, config_id).read_records()).values():
            if _has_config_id(output, file):
                raise ConfigError(
                    f"{output.root} was written by an earlier version, with config_id as a column of its files as well"
                    f" as in their path, which some readers refuse: run 'framegate migrate {output.root}' once. It"
                    " loses no row, and goes on where it was stopped"
                )


def sealed_config_ids(output: Output) -> list[str]:
    """Those with a seal, in order."""
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    return sorted(folder.removeprefix("config_id=") for folder in folders)


def _is_as_written_now(output: Output, file: SealedFile, inputs: Inputs) -> bool:
    if (types := _recorded_inputs(file)) is not None:
        return all(types.get(name) == data_type for name, data_type in inputs.items())
    return is_up_to_date(file.table, _read_schema(output, file), inputs)


def _recorded_inputs(file: SealedFile) -> Inputs | None:
    """The columns of manifests of a file whose own columns are those of this version; None: its record does not say."""
    types = parse_types(file.inputs) if file.inputs is not None else None
    is_ours = types is not None and file.columns == columns_digest(sealed_schema(file.table, pa.schema(types)))
    return types if is_ours else None


def _has_config_id(output: Output, file: SealedFile) -> bool:
    return _recorded_inputs(file) is None and CONFIG_ID.name in _read_schema(output, file).names


def _read_schema(output: Output, file: SealedFile) -> pa.Schema:
    return read_parquet(output.store, join(output.root, file.uri), lambda found: found.schema_arrow)
