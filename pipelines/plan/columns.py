"""The columns of manifests and side files: as what this run reads them, and whether the output can take them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from framegate.pipelines.commit.fixed import Fixed, check_columns, read_fixed
from framegate.pipelines.commit.input_types import common_type, parse_types
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import split_entry
from framegate.pipelines.commit.seal_log import SealLog
from framegate.pipelines.source.find import Found
from framegate.pipelines.source.manifest import ColumnTypes
from framegate.schemas.clock import find_zone
from framegate.schemas.column_types import TYPES, column_word
from framegate.schemas.config import RunConfig
from framegate.schemas.errors import ConfigError
from framegate.schemas.start_time import CONTAINER_TIME
from framegate.schemas.tables import INPUT_PREFIX

OWN_TIME: Final = "written_at"  # the one column to partition by that is ours


@dataclass(frozen=True, kw_only=True)
class InputColumns:
    """`types` are those to read the input by."""

    output: Output
    types: ColumnTypes
    partition_by: Sequence[str] = field(default=())
    start_columns: Sequence[str] = field(default=())

    def check(self, found: Found) -> None:
        """Raises ConfigError where a column to partition by, or one that says when videos began, is none or no
        time, or the output has another type for a column."""
        check_partition_columns(self.partition_by, {*found.names, *self.types.fixed})
        check_start_columns(self.start_columns, found)
        check_columns(self.output, Fixed(partition_by=(), columns=self.types.fixed), found.columns)

    def notices(self, found: Found) -> list[str]:
        """A sentence where a declared column is not there."""
        missing = sorted(self.types.declared.keys() - found.names)
        if not missing:
            return []
        return [f"input.columns declares {', '.join(missing)}, and the input has no such column: null in all rows"]


def read_columns(config: RunConfig, output: Output, config_id: str) -> InputColumns:
    """What the output has fixed, and the job declares. Raises ConfigError where the two differ, StorageError."""
    declared = {name: TYPES[word] for name, word in config.input.columns.items()}
    fixed = _fixed_types(output, config_id)
    check_columns(output, Fixed(partition_by=(), columns=fixed), declared)
    entries = map(split_entry, config.output.partition_by)
    return InputColumns(
        output=output,
        types=ColumnTypes(
            fixed=fixed,
            declared=declared,
            times=frozenset(name for name, part in entries if part is not None and name != OWN_TIME)
            | frozenset(config.input.start_columns),
            zone=find_zone(config.input.time_zone),
        ),
        partition_by=config.output.partition_by,
        start_columns=config.input.start_columns,
    )


def check_partition_columns(partition_by: Sequence[str], names: Iterable[str]) -> None:
    """Raises ConfigError where a column to partition by is none of the manifest's: a typo would be a partition of
    nothing but nulls."""
    wanted = {entry: entry.partition(".")[0] for entry in partition_by}
    known = {OWN_TIME, *names}
    for entry, name in wanted.items():
        if name not in known:
            match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = (
                f"did you mean '{match[0]}'?" if match else f"it has {', '.join(sorted(known - {OWN_TIME})) or 'none'}"
            )
            raise ConfigError(f"output.partition_by: '{entry}' is no column of the manifest; {hint}")


def check_start_columns(names: Sequence[str], found: Found) -> None:
    """Raises ConfigError where one of `input.started_at` is no column of the input, or holds no times.

    Texts that an older output has fixed as such are held to be times as the manifest is read.
    """
    for name in names:
        if name not in found.names:
            match = difflib.get_close_matches(name, found.names, n=1, cutoff=0.5)
            there = ", ".join(sorted(found.names)) or "none"
            has = f"it has {there}, and `{CONTAINER_TIME}` stands for the file's own time"
            hint = f"did you mean '{match[0]}'?" if match else has
            raise ConfigError(f"input.started_at: '{name}' is no column of the manifest; {hint}")
        data_type = found.columns.get(name)
        if data_type is not None and not pa.types.is_timestamp(data_type) and not pa.types.is_string(data_type):
            raise ConfigError(
                f"input.started_at: the column '{name}' is {column_word(data_type)}, which does not say at what time a"
                f" video begins; give times such as 2026-11-21T03:00, and declare `{name}: timestamp` in input.columns"
            )


def _fixed_types(output: Output, config_id: str) -> Mapping[str, pa.DataType]:
    """Types of the output's columns: those of its layout, or of the files that a version without them had sealed."""
    fixed = read_fixed(output)
    if fixed is None or fixed.has_columns:
        return {} if fixed is None else fixed.columns
    types: dict[str, set[pa.DataType]] = {}
    for record in SealLog(output, config_id).read_records():
        for file in record.files:
            for name, data_type in (parse_types(file.inputs or {}) or {}).items():
                types.setdefault(name.removeprefix(INPUT_PREFIX), set()).add(data_type)
    known = {name: found - {pa.null()} for name, found in sorted(types.items())}
    return {name: common_type(found, promote=True) for name, found in known.items() if found}
