"""What an output fixes once and for all, in `layout.json`: partitions, time zone, and the types of input columns.

A later run may add columns of the manifest. It changes none: their types belong to the output, so that every file of
it, old or new, can be read as one table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.output import Output
from framegate.schemas.column_types import column_word, read_type, write_type
from framegate.schemas.errors import ConfigError, ObjectNotFound, StorageError, VersionChanged
from framegate.schemas.json_object import load_json
from framegate.schemas.tables import INPUT_PREFIX

UTC_ZONE: Final = "UTC"
FILE_FORMAT: Final = 1
"""Sealed files have config_id in their path alone. An output is begun in this format; one of an earlier version comes
to it by a migration."""


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """
    partition_by   the job's `output.partition_by`
    columns        of manifests and side files, without `input_`: their types in every sealed file, in the order in
                   which they came. A column that no row had a value of yet is not there
    has_columns    false in an output of a version that did not write columns: its files may have some
    time_zone      IANA: dates and hours of partitions are local to it
    file_format    FILE_FORMAT where no sealed file is of an earlier format; 0: files may be (`commit.migrate`)
    """

    partition_by: tuple[str, ...]
    columns: Mapping[str, pa.DataType] = field(default_factory=dict)
    time_zone: str = UTC_ZONE
    has_columns: bool = True
    file_format: int = FILE_FORMAT

    @property
    def inputs(self) -> Mapping[str, pa.DataType]:
        """The columns of manifests by the names that they have in sealed files."""
        return {INPUT_PREFIX + name: data_type for name, data_type in self.columns.items()}

    def to_json(self) -> bytes:
        """The bytes of `layout.json`."""
        document: dict[str, Any] = {
            "partition_by": list(self.partition_by),
            "time_zone": self.time_zone,
            "file_format": self.file_format,
        }
        if self.has_columns:
            document["columns"] = {name: write_type(data_type) for name, data_type in self.columns.items()}
        return (json.dumps(document, indent=1) + "\n").encode()


def read_fixed(output: Output) -> Fixed | None:
    """None where nothing is fixed yet. Raises StorageError."""
    uri = output.layout.partitioning
    try:
        return _parse(uri, output.store.read(uri))
    except ObjectNotFound:
        return None


def fix(
    output: Output,
    partition_by: Sequence[str],
    columns: Mapping[str, pa.DataType] | None = None,
    time_zone: str | None = None,
) -> Fixed:
    """Fixes what is not fixed yet, and returns all that is. Any number of processes may do this at once.

    Raises ConfigError where it is fixed in another way, StorageError.
    """
    uri, wanted = output.layout.partitioning, Fixed(
        partition_by=tuple(partition_by), columns=columns or {}, time_zone=time_zone or UTC_ZONE
    )  # fmt: skip
    while True:
        try:
            info, data = output.store.read_version(uri)
        except ObjectNotFound:
            if output.store.put_once(uri, wanted.to_json()).is_ours:
                return wanted
            continue
        there = _parse(uri, data)
        check_partitions(output, there, wanted.partition_by, time_zone)
        check_columns(output, there, wanted.columns)
        both = Fixed(
            partition_by=there.partition_by,
            columns={**there.columns, **wanted.columns},
            time_zone=there.time_zone,
            file_format=there.file_format,
        )
        if both == there:
            return there
        try:
            output.store.replace(uri, both.to_json(), if_match=info.version)
            return both
        except (VersionChanged, ObjectNotFound):  # another run added its columns just now
            continue


def fix_format(output: Output) -> None:
    """Says that no sealed file is of an earlier format. Nothing is said where nothing is fixed yet, since the first
    run does so."""
    uri = output.layout.partitioning
    while (there := read_fixed(output)) is not None and there.file_format != FILE_FORMAT:
        try:
            info, data = output.store.read_version(uri)
            new = replace(_parse(uri, data), file_format=FILE_FORMAT)
            output.store.replace(uri, new.to_json(), if_match=info.version)
        except (VersionChanged, ObjectNotFound):  # a run added columns just now
            continue


def check_partitions(output: Output, there: Fixed, partition_by: Sequence[str], time_zone: str | None) -> None:
    """Raises ConfigError where the tables are partitioned in another way. `time_zone`: None where it is not known."""
    if tuple(partition_by) != there.partition_by:
        raise ConfigError(
            f"output.partition_by is {list(partition_by)}, but the tables in {output.root} are partitioned by"
            f" {list(there.partition_by)} since their first rows, which cannot change: set it to"
            f" {list(there.partition_by)}, or use another output.uri"
        )
    has_times = any("." in entry for entry in partition_by)
    if has_times and time_zone is not None and time_zone != there.time_zone:
        raise ConfigError(
            f"input.time_zone is {time_zone}, but the partitions in {output.root} are dates and hours of"
            f" {there.time_zone} since their first rows, which cannot change: set it to {there.time_zone}, or use"
            " another output.uri"
        )


def check_columns(output: Output, there: Fixed, columns: Mapping[str, pa.DataType]) -> None:
    """Raises ConfigError where a column has another type in the output, or a name that differs in case alone."""
    by_lower = {name.lower(): name for name in there.columns}
    for name, data_type in columns.items():
        known = by_lower.get(name.lower(), name)
        if known != name:
            raise ConfigError(
                f"the input has a column '{name}', and the output {output.root} a column '{known}': SQL does not tell"
                f" them apart; rename it to '{known}'"
            )
        if name in there.columns and there.columns[name] != data_type:
            fixed = column_word(there.columns[name])
            raise ConfigError(
                f"the input's column '{name}' is {column_word(data_type)}, but in {output.root} it is {fixed} since its"
                f" first value, which cannot change: declare it as input.columns: {{{name}: {fixed}}}, rename it, or"
                " use another output.uri"
            )


def _parse(uri: str, data: bytes) -> Fixed:
    try:
        document: Any = load_json(data)
        return Fixed(
            partition_by=tuple(document["partition_by"]),
            columns={name: read_type(value) for name, value in document.get("columns", {}).items()},
            time_zone=document.get("time_zone", UTC_ZONE),
            has_columns="columns" in document,
            file_format=int(document.get("file_format", 0)),
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise StorageError(f"{uri} is no layout of an output ({error!r})") from error
