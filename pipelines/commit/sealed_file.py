"""What the record of a seal says of each file: enough to find it, to rule it out, and to go on with it, unopened."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.growth import Mark
from framegate.pipelines.commit.layout import split_sealed
from framegate.schemas.tables import INPUT_PREFIX

BOUNDED: Final = ("video_id", "clip_index", "question_id", "question_hash", "run_id", "written_at")
"""The columns whose smallest and largest values a record has. No URI is among them: an erasure leaves records alone."""

_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SealedFile:
    """One file as it was when a seal was recorded. A later seal may have added rows, an erasure may have taken some.

    uri            relative to the output's root: `results/config_id=.../00000000.parquet`
    table          results or failures
    partition      the folders below config_id, such as `camera=north`; empty where there are none
    num_new_rows   of the `num_rows`, those that this seal added: the last ones in the file
    sha256         of its bytes when the seal was recorded
    sha256_before  of the version that the seal added to; None where it began the file
    sha256_sealed  of the version that the seal made: `sha256`, unless an erasure replaced it before it was recorded
    columns        digest of the names and types of all columns; None in records of older versions
    inputs         names and types of the manifest's columns; None in records of older versions
    bounds         for each of BOUNDED the smallest and the largest value, times as ISO 8601; a column without values,
                   or whose values are not known, is missing
    """

    uri: str
    table: str
    partition: str
    num_rows: int
    num_new_rows: int
    size_bytes: int
    sha256: str
    sha256_before: str | None = None
    sha256_sealed: str | None = None
    columns: str | None = None
    inputs: Mapping[str, str] | None = None
    bounds: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Of the seal that began the file."""
        return int(self.uri.rpartition("/")[2].removesuffix(".parquet"))

    def check(self, config_id: str | None) -> None:
        """Raises ValueError where it describes no file that a sealer could have written under `config_id` (None: that
        is not known)."""
        found = split_sealed(self.uri)
        if found is None or found[:3] != (self.table, config_id or found[1], self.partition):
            raise ValueError(f"{self.uri!r} is no sealed file of {self.table} in {self.partition or 'no partition'}")
        for name in ("num_rows", "num_new_rows", "size_bytes"):
            number = getattr(self, name)
            if type(number) is not int or number < 0:
                raise ValueError(f"{name} of {self.uri} is {number!r}")
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 of {self.uri} is {self.sha256!r}")

    @staticmethod
    def of(uri: str, data: bytes, mark: Mark) -> SealedFile:
        """The description of a file with these bytes, which have this `mark`."""
        metadata = pq.read_metadata(pa.BufferReader(data))
        sha256 = hashlib.sha256(data).hexdigest()
        schema = metadata.schema.to_arrow_schema()
        return SealedFile(
            uri=uri,
            table=uri.partition("/")[0],
            partition=_partition(uri),
            num_rows=metadata.num_rows,
            num_new_rows=mark.num_new_rows,
            size_bytes=len(data),
            sha256=sha256,
            sha256_before=mark.sha256_before,
            sha256_sealed=mark.sha256_sealed or sha256,
            columns=columns_digest(schema),
            inputs={column.name: str(column.type) for column in schema if column.name.startswith(INPUT_PREFIX)},
            bounds=dict(_bounds(metadata, schema)),
        )

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> SealedFile:
        """Raises KeyError, TypeError where it is no description. Older versions knew five fields."""
        known = dict(document)
        if "kind" in known:
            known["table"] = known.pop("kind")
            known |= {"partition": _partition(known["uri"]), "num_new_rows": known["num_rows"]}
            known["sha256_sealed"] = known["sha256"]
        known["bounds"] = {name: tuple(bound) for name, bound in known.get("bounds", {}).items()}
        return SealedFile(**known)


def columns_digest(schema: pa.Schema) -> str:
    """16 hex digits: two schemas have the same ones exactly if the columns have the same names, types and order."""
    text = "\n".join(f"{column.name} {_type_text(column.type)} {column.nullable}" for column in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _type_text(data_type: pa.DataType) -> str:
    """Arrow's text. What the items of a list are called is a matter of Parquet, which renames them."""
    return f"list<{_type_text(data_type.value_type)}>" if pa.types.is_list(data_type) else str(data_type)


def _partition(uri: str) -> str:
    return "/".join(uri.split("/")[2:-1])


def _bounds(metadata: pq.FileMetaData, schema: pa.Schema) -> Iterable[tuple[str, tuple[Any, Any]]]:
    if metadata.num_row_groups == 0:
        return
    first = metadata.row_group(0)
    places = {first.column(n).path_in_schema: n for n in range(first.num_columns)}
    for name in BOUNDED:
        if name in places:
            found = [_bound(metadata.row_group(n).column(places[name])) for n in range(metadata.num_row_groups)]
            values = [bound for bound in found if bound]
            if values and None not in found:
                yield name, (_plain(min(low for low, _ in values)), _plain(max(high for _, high in values)))


def _bound(column: pq.ColumnChunkMetaData) -> tuple[Any, Any] | tuple[()] | None:
    """The smallest and largest value; nothing where there is no value, None where the file does not say."""
    statistics = column.statistics
    if statistics is None:
        return () if column.num_values == 0 else None
    if statistics.has_min_max:
        return statistics.min, statistics.max
    return () if statistics.has_null_count and statistics.null_count == column.num_values else None


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
