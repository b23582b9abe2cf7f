"""Folders of the sealed tables below config_id: which one a row belongs to.

    camera               a column of the manifest: camera=north, and input_camera stays a column of the file
    taken.date           a part of a time: taken_date=2026-11-21; also year, month, day, hour as SQL's date_part
    written_at.month     the same of when the row was committed

Values are percent-encoded, as DuckDB, pyarrow and Polars expect of hive partitions. Which columns they are is fixed by
an output's first seal, in `layout.json`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framegate.pipelines.commit.fixed import UTC_ZONE, check_partitions, fix, read_fixed
from framegate.pipelines.commit.output import Output
from framegate.schemas.clock import find_zone
from framegate.schemas.errors import ConfigError
from framegate.schemas.tables import CONFIG_ID, FAILURES, INPUT_PREFIX, JOURNAL, RESULTS

NULL: Final = "__null__"
"""The folder's value for rows that have none. pandas fails on Hive's own __HIVE_DEFAULT_PARTITION__: pyarrow cannot
unify it."""
TIME_PARTS: Final = {
    "date": lambda time: time.date().isoformat(),
    "year": lambda time: str(time.year),
    "month": lambda time: str(time.month),
    "day": lambda time: str(time.day),
    "hour": lambda time: str(time.hour),
}
_READ_AS_NULL: Final = (NULL, "__HIVE_DEFAULT_PARTITION__")
"""How the folder's value must not begin where a row has a value: engines read the second as null, too."""
MAX_VALUE_BYTES: Final = 180  # encoded; a part of a path ends at 255 bytes on most file systems
_OWN_TIME: Final = "written_at"
_TAKEN: Final = frozenset(name.lower() for name in (CONFIG_ID.name, *RESULTS.names, *FAILURES.names, *JOURNAL.names))


def check_partition_by(partition_by: Sequence[str]) -> None:
    """Raises ConfigError where an entry cannot name a folder that every SQL engine reads as a column of its own."""
    folders = [folder_of(entry) for entry in partition_by]
    for entry, folder in zip(partition_by, folders, strict=True):
        where = f"output.partition_by: '{entry}'"
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", folder):
            raise ConfigError(
                f"{where} would be the folder '{folder}='; a folder is named by letters, digits and underscores:"
                " rename the manifest's column, or take another"
            )
        if folder.lower() in _TAKEN or folder.lower().startswith(INPUT_PREFIX):
            raise ConfigError(
                f"{where} would be the folder '{folder}=', and '{folder}' is a column of the tables already;"
                " take a column of the manifest with another name, or a part of a time such as written_at.date"
            )
    if len({folder.lower() for folder in folders}) < len(folders):
        raise ConfigError(f"output.partition_by names a folder twice: {', '.join(folders)}; give each once")


def fix_partitioning(output: Output, partition_by: Sequence[str]) -> tuple[str, ...]:
    """Fixes how the tables of an output are partitioned, once and for all. Raises ConfigError where it differs.

    It can never change: a glob over folders of different depths is an error in some readers. Returns the entries with
    the zone of their times, as `partitions` takes them.
    """
    check_partition_by(partition_by)
    return in_zone(partition_by, fix(output, partition_by).time_zone)


def check_partitioning(output: Output, partition_by: Sequence[str], time_zone: str | None = None) -> None:
    """Raises ConfigError where the tables of an output could not be partitioned like this. Changes nothing."""
    check_partition_by(partition_by)
    fixed = read_fixed(output)
    if fixed is not None:
        check_partitions(output, fixed, partition_by, time_zone)


def read_partitioning(output: Output) -> tuple[str, ...] | None:
    """What the tables of an output are partitioned by; None where that is not fixed yet. Raises StorageError."""
    fixed = read_fixed(output)
    return None if fixed is None else fixed.partition_by


def in_zone(partition_by: Sequence[str], time_zone: str) -> tuple[str, ...]:
    """Entries with the zone of their times where that is not UTC: `taken.date@Europe/Berlin`."""
    zone = "" if time_zone == UTC_ZONE else f"@{time_zone}"
    return tuple(f"{entry}{zone}" if split_entry(entry)[1] else entry for entry in partition_by)


def partitions(rows: pa.Table, partition_by: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The partitions that occur in rows of the journal, in order, and for each row the number of its own.

    `partition_by` are entries as `in_zone` gives them: dates and hours are local to their zone, else to UTC.
    A partition is such as `camera=north/taken_date=2026-11-21`; empty where nothing is partitioned. A row without the
    column, or whose text is no time, belongs to `__null__`.
    """
    codes = np.zeros(rows.num_rows, np.int64)
    names = [""]
    for entry in partition_by:
        values, numbers = _values(rows, entry)
        parts = [f"{folder_of(entry.partition('@')[0])}={value}" for value in values]
        used, codes = np.unique(codes * len(parts) + numbers, return_inverse=True)
        names = ["/".join(filter(None, (names[n // len(parts)], parts[n % len(parts)]))) for n in used.tolist()]
    if not rows.num_rows:
        return [], codes
    ranks = np.argsort(np.array(names, dtype=object))
    order = np.empty(len(names), np.int64)
    order[ranks] = np.arange(len(names))
    return [names[n] for n in ranks], order[codes]


def _values(rows: pa.Table, entry: str) -> tuple[list[str], np.ndarray]:
    """The folder's values that occur, encoded, and for each row the number of its own."""
    entry, _, zone = entry.partition("@")
    name, part = _source(rows.column_names, entry)
    if name is None:
        return [NULL], np.zeros(rows.num_rows, np.int64)
    column = rows.column(name)
    if part and pa.types.is_timestamp(column.type):
        # A few dozen different values a day instead of one per unit; since 1972 every zone is off UTC by whole quarters
        # of an hour.
        quarter = pc.RoundTemporalOptions(15, unit="minute")
        # Without its zone, which it gets back: Arrow looks for any, UTC too, in a database that a slim machine lacks.
        instants = column.cast(pa.timestamp(column.type.unit))
        column = pc.call_function("floor_temporal", [instants], quarter).cast(column.type)
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        found = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], found.type)
    if not isinstance(found, pa.DictionaryArray):
        found = found.dictionary_encode()
    values, place = found.dictionary.to_pylist(), find_zone(zone) if zone else UTC
    words = [_encode(_time_part(value, part, place) if part else _text(value)) for value in values]
    texts = sorted({*words, NULL})
    numbers = np.array([texts.index(word) for word in [*words, NULL]], np.int64)
    return texts, numbers[pc.fill_null(found.indices, len(words)).to_numpy(zero_copy_only=False)]


def split_entry(entry: str) -> tuple[str, str | None]:
    """A column's name, and the part of its time that is wanted: (`taken`, `date`) of `taken.date`."""
    name, _, part = entry.rpartition(".")
    return (name, part) if name and part in TIME_PARTS else (entry, None)


def folder_of(entry: str) -> str:
    """The folder's name that an entry of `output.partition_by` stands for."""
    name, part = split_entry(entry)
    return f"{name}_{part}" if part else name


def _source(columns: Sequence[str], entry: str) -> tuple[str | None, str | None]:
    name, part = split_entry(entry)
    if part and name == _OWN_TIME:
        return name, part
    return (INPUT_PREFIX + name if INPUT_PREFIX + name in columns else None), part


def _time_part(value: Any, part: str, zone: tzinfo) -> str | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return None
    return TIME_PARTS[part](value.astimezone(zone) if value.tzinfo else value)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, str | int | float | Decimal):
        return str(value)
    return None if value is None else repr(value)


def _encode(text: str | None) -> str:
    """A value as part of a path. An empty text becomes null, since engines read `camera=` in different ways. What is
    too long, or reads like null, gets a digest: rows that say `__null__` are not those that say nothing."""
    if not text:
        return NULL
    encoded = quote(text, safe="")
    if len(encoded) <= MAX_VALUE_BYTES and not text.startswith(_READ_AS_NULL):
        return encoded
    kept = text[:MAX_VALUE_BYTES]
    while len(quote(kept, safe="")) > MAX_VALUE_BYTES - 13:  # whole characters: half of one is an error to DuckDB
        kept = kept[:-1]
    return f"{quote(kept, safe='')}~{hashlib.sha256(text.encode()).hexdigest()[:12]}"
