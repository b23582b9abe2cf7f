"""The plan of a seal: which journal objects it is made of, and which files their rows go to. Created once.

What a plan names is deleted or written to by whoever executes it. So it is refused where a name in it is none that a
sealer gives: it could lead out of the folders of its config_id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.layout import SEALED_TABLES, is_partition, is_unit
from framegate.pipelines.store.parquet import NOT_OURS, encode_parquet, parse_parquet
from framegate.schemas.errors import StorageError

_PLAN_KEY: Final = b"framegate"
_PLAN: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class JournalObject:
    """One object of a plan. `name` is relative to the journal of its config_id: `<video_id>/<unit>.arrow.zst`."""

    name: str
    size_bytes: int
    sha256: str

    @property
    def video_id(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class FileName:
    """A sealed file of one config_id. `number` is that of the seal which began it."""

    table: str
    partition: str
    number: int


@dataclass(frozen=True, kw_only=True)
class SealPlan:
    """What seal number `seal` is made of, and which files it writes, whoever executes it.

    objects        in order of their names
    outputs        the file that each (table, partition) goes to, counted before any row is left out: one that an
                   earlier seal began, or a new one. It is marked even where no row is left for it
    partition_by   as the output's layout has it
    file_bytes     the size at which a file is full
    merges         instead of journal objects: files whose rows go into `outputs`, and that are deleted then
    completes      where the objects are of deepened rows: the files that have the rows which they complete
    """

    seal: int
    objects: tuple[JournalObject, ...]
    outputs: tuple[FileName, ...]
    partition_by: tuple[str, ...]
    file_bytes: int
    merges: tuple[FileName, ...] = ()
    completes: tuple[FileName, ...] | None = None

    @property
    def folder(self) -> str:
        """Where its objects lie."""
        return "journal" if self.completes is None else "deepened"

    def check(self) -> None:
        """Raises ValueError where it names anything that no sealer could."""
        for item in self.objects:
            if not is_unit(item.name):
                raise ValueError(f"{item.name!r} is no name of a journal object")
        for file in (*self.outputs, *self.merges, *(self.completes or ())):
            if file.table not in SEALED_TABLES or not is_partition(file.partition) or type(file.number) is not int:
                raise ValueError(f"{file.table}/{file.partition}/{file.number} is no name of a sealed file")

    def to_bytes(self) -> bytes:
        """Parquet: one row per object, the rest in the schema's metadata."""
        about = {
            "outputs": _documents(self.outputs),
            "partition_by": list(self.partition_by),
            "file_bytes": self.file_bytes,
            "merges": _documents(self.merges),
            "completes": None if self.completes is None else _documents(self.completes),
        }
        columns = {
            "name": [item.name for item in self.objects],
            "size_bytes": [item.size_bytes for item in self.objects],
            "sha256": [item.sha256 for item in self.objects],
        }
        metadata = {_PLAN_KEY: json.dumps(about, sort_keys=True).encode()}
        table = pa.table(columns, schema=_PLAN.with_metadata(metadata))
        return encode_parquet(table, use_dictionary=False, write_page_index=False)

    @staticmethod
    def from_bytes(uri: str, data: bytes, seal: int) -> SealPlan:
        """Raises StorageError where it is no plan."""
        table = parse_parquet(uri, data)
        try:
            about = json.loads((table.schema.metadata or {})[_PLAN_KEY])
            columns = (table.column(name).to_pylist() for name in _PLAN.names)
            objects = (JournalObject(name=n, size_bytes=b, sha256=s) for n, b, s in zip(*columns, strict=True))
            plan = SealPlan(
                seal=seal,
                objects=tuple(objects),
                outputs=_file_names(about["outputs"], seal),
                partition_by=tuple(about["partition_by"]),
                file_bytes=about.get("file_bytes", 0),
                merges=_file_names(about.get("merges", ()), seal),
                completes=None if (names := about.get("completes")) is None else _file_names(names, seal),
            )
            plan.check()
            return plan
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{uri} is no plan of a seal ({error!r}); {NOT_OURS}") from error


def _documents(files: Iterable[FileName]) -> list[list[Any]]:
    return [[file.table, file.partition, file.number] for file in files]


def _file_names(documents: Iterable[Sequence[Any]], seal: int) -> tuple[FileName, ...]:
    """Older versions name a table and a partition alone: each seal began files of its own."""
    return tuple(
        FileName(table=table, partition=partition, number=number[0] if number else seal)
        for table, partition, *number in documents
    )
