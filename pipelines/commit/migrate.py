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
from functools import lru_cache
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.fixed import FILE_FORMAT, fix_format, read_fixed
from framegate.pipelines.commit.input_types import parse_types
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.seal_log import SealLog, files_of
from framegate.pipelines.commit.seal_plan import FileName, SealPlan
from framegate.pipelines.commit.sealed_columns import Inputs, is_of_this_version, is_up_to_date, sealed_schema
from framegate.pipelines.commit.sealed_file import SealedFile, columns_digest
from framegate.pipelines.store import join
from framegate.pipelines.store.parquet import read_parquet
from framegate.schemas.errors import ConfigError
from framegate.schemas.tables import CONFIG_ID

MAX_PLAN_BYTES: Final = 128 * 2**20
"""Files of one seal have no more than this together, or are one alone: a process that dies repeats that much."""

BESIDE_BYTES: Final = 32 * 2**20
"""So much of what lacks a column is brought up to date by the way, whenever rows are sealed: a second or two."""


def choose_outdated(
    output: Output, files: Iterable[SealedFile], *, file_bytes: int, seal: int, inputs: Inputs, tried: Collection[str]
) -> SealPlan | None:
    """The plan that brings some outdated files up to date; None where there are none but those that were `tried`.

    Raises ObjectNotFound where a file has been merged into another one since, StorageError.
    """
    left = (file for file in _in_order(files) if file.uri not in tried and is_outdated(output, file, inputs))
    chosen = _first(left, MAX_PLAN_BYTES, takes_any=True)
    return _plan(chosen, file_bytes=file_bytes, seal=seal)


def choose_lacking(files: Iterable[SealedFile], *, file_bytes: int, seal: int, inputs: Inputs) -> SealPlan | None:
    """The same of files that lack a column, as far as that is done by the way. No file is opened."""
    known = ((file, recorded_inputs(file)) for file in _in_order(files))
    lacking = (file for file, types in known if types is not None and not inputs.keys() <= types.keys())
    return _plan(_first(lacking, BESIDE_BYTES, takes_any=False), file_bytes=file_bytes, seal=seal)


def _in_order(files: Iterable[SealedFile]) -> list[SealedFile]:
    return sorted(files, key=lambda file: file.uri)


def _first(files: Iterable[SealedFile], max_bytes: int, *, takes_any: bool) -> list[SealedFile]:
    """As many files as fit; with `takes_any` one at least."""
    chosen: list[SealedFile] = []
    for file in files:
        if sum(other.size_bytes for other in chosen) + file.size_bytes <= max_bytes or (takes_any and not chosen):
            chosen.append(file)
        elif takes_any:
            break
    return chosen


def _plan(chosen: Iterable[SealedFile], *, file_bytes: int, seal: int) -> SealPlan | None:
    names = sorted(FileName(table=file.table, partition=file.partition, number=file.number) for file in chosen)
    if not names:
        return None
    return SealPlan(seal=seal, objects=(), outputs=tuple(names), partition_by=(), file_bytes=file_bytes)


def is_outdated(output: Output, file: SealedFile, inputs: Inputs) -> bool:
    """Whether a file that this version can write to lacks columns, or has config_id or other types. The record says so
    of most; one whose own columns are not those of this version is opened."""
    return not _is_as_written_now(output, file, inputs) and is_of_this_version(file.table, _read_schema(output, file))


def count_outdated(output: Output, config_id: str) -> int:
    """Sealed files of a config_id that do not have the columns of the output. Raises StorageError."""
    fixed = read_fixed(output)
    inputs = {} if fixed is None else fixed.inputs
    files = files_of(SealLog(output, config_id).read_records()).values()
    return sum(not _is_as_written_now(output, file, inputs) for file in files)


def check_is_migrated(output: Output) -> None:
    """Raises ConfigError where files of an earlier version have config_id as a column, StorageError.

    Most outputs say that none has, and no file is looked at.
    """
    fixed = read_fixed(output)
    if (fixed is None or fixed.file_format != FILE_FORMAT) and _is_of_earlier_version(output):
        raise ConfigError(
            f"{output.root} was written by an earlier version, with config_id as a column of its files as well as in"
            f" their path, which some readers refuse: run 'framegate migrate {output.root}' once. It loses no row, and"
            " goes on where it was stopped"
        )


def note_migrated(output: Output) -> None:
    """Writes down that no file is of an earlier version, where that is so, and spares runs the search."""
    if not _is_of_earlier_version(output):
        fix_format(output)


def _is_of_earlier_version(output: Output) -> bool:
    folders = {info.uri.rsplit("/", 2)[-2] for info in output.list("seals")}
    return any(
        _has_config_id(output, file)
        for folder in sorted(folders)
        if folder.startswith("config_id=")
        for file in files_of(SealLog(output, folder.removeprefix("config_id=")).read_records()).values()
    )


def _is_as_written_now(output: Output, file: SealedFile, inputs: Inputs) -> bool:
    if (types := recorded_inputs(file)) is not None:
        return all(types.get(name) == data_type for name, data_type in inputs.items())
    return is_up_to_date(file.table, _read_schema(output, file), inputs)


def recorded_inputs(file: SealedFile) -> Inputs | None:
    """The columns of manifests of a file whose own columns were those of this version, config_id not among them, when
    its seal was recorded; None: the record does not say that they were."""
    if file.inputs is None or file.columns is None:
        return None
    return _inputs_of(file.table, file.columns, tuple(file.inputs.items()))


@lru_cache(maxsize=1024)
def _inputs_of(table: str, columns: str, inputs: tuple[tuple[str, str], ...]) -> Inputs | None:
    types = parse_types(dict(inputs))  # most files of an output have the same ones
    return types if types is not None and columns == columns_digest(sealed_schema(table, pa.schema(types))) else None


def _has_config_id(output: Output, file: SealedFile) -> bool:
    return recorded_inputs(file) is None and CONFIG_ID.name in _read_schema(output, file).names


def _read_schema(output: Output, file: SealedFile) -> pa.Schema:
    return read_parquet(output.store, join(output.root, file.uri), lambda found: found.schema_arrow)
