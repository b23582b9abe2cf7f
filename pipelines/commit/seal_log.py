"""Seals as they are written down: the plan (which journal objects), the record (what became of them), layout.json.

Each is created once and never changed. The same content gives the same bytes. Knows nothing of rows, nor of the order
in which things are done (`pipelines.commit.seal`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.journal import from_parquet
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.partition import check_partition_by
from framegate.schemas.errors import ConfigError, ObjectNotFound, StorageError

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
    """One object of a plan. `name` is relative to the journal of its config_id: `<video_id>/<unit>.parquet`."""

    name: str
    size_bytes: int
    sha256: str

    @property
    def video_id(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class SealPlan:
    """What seal number `seal` is made of, and the files that it has, whoever executes it.

    objects        in order of their names
    outputs        (kind, partition) of each file: those of all rows, before any is left out. A file is written even
                   where nothing of it stays, so that its name is taken
    """

    seal: int
    objects: tuple[JournalObject, ...]
    outputs: tuple[tuple[str, str], ...]
    partition_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SealedFile:
    """One file of a seal as it was when the seal was recorded; an erasure may have replaced it since.

    uri            relative to the output's root: `results/config_id=.../00000000.parquet`
    kind           results or failures
    """

    uri: str
    kind: str
    num_rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RunCounts:
    """What a seal holds of one run. `num_clips` counts the clips that a question was asked of."""

    num_clips: int = 0
    num_answers: int = 0
    num_failures: int = 0
    num_thinking: int = 0
    num_answer_tokens: int = 0
    num_thinking_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class SealRecord:
    """What became of a plan. Once it exists, the seal is complete but for the deletion of its journal objects.

    runs             by run_id
    num_units        journal objects whose rows are in the files, or were left out for one of the two reasons below
    num_duplicates   rows left out because their key is in an earlier seal, or in an earlier object of this one
    num_erased       rows left out because their video was erased
    skipped          names of objects of the plan that were gone or had other bytes: an erasure had taken them
    """

    seal: int
    files: tuple[SealedFile, ...]
    runs: dict[str, RunCounts]
    num_units: int
    num_duplicates: int
    num_erased: int
    skipped: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Deterministic: keys in order, files in order of their names."""
        document = asdict(self)
        document["files"] = sorted(document["files"], key=lambda file: file["uri"])
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @staticmethod
    def from_bytes(uri: str, data: bytes) -> SealRecord:
        try:
            document = json.loads(data)
            return SealRecord(
                seal=document["seal"],
                files=tuple(SealedFile(**file) for file in document["files"]),
                runs={run_id: RunCounts(**counts) for run_id, counts in document["runs"].items()},
                num_units=document["num_units"],
                num_duplicates=document["num_duplicates"],
                num_erased=document["num_erased"],
                skipped=tuple(document["skipped"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{uri} is no record of a seal ({error!r}); was it written by something else?"
            ) from error


def plan_bytes(plan: SealPlan) -> bytes:
    """The plan as Parquet: one row per object, the rest in the schema's metadata."""
    about = {"outputs": [list(output) for output in plan.outputs], "partition_by": list(plan.partition_by)}
    table = pa.table(
        {
            "name": [item.name for item in plan.objects],
            "size_bytes": [item.size_bytes for item in plan.objects],
            "sha256": [item.sha256 for item in plan.objects],
        },
        schema=_PLAN.with_metadata({_PLAN_KEY: json.dumps(about, sort_keys=True).encode()}),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    return sink.getvalue().to_pybytes()


def read_plan(output: Output, config_id: str, seal: int) -> SealPlan | None:
    """The plan that was agreed on for a seal, or None. By its name: no listing, which might be stale."""
    uri = output.layout.seal_plan(config_id, seal)
    try:
        table = from_parquet(uri, output.store.read(uri))
    except ObjectNotFound:
        return None
    try:
        about = json.loads((table.schema.metadata or {})[_PLAN_KEY])
        columns = (table.column(name).to_pylist() for name in _PLAN.names)
        objects = (JournalObject(name=n, size_bytes=b, sha256=s) for n, b, s in zip(*columns, strict=True))
        return SealPlan(
            seal=seal,
            objects=tuple(objects),
            outputs=tuple((kind, partition) for kind, partition in about["outputs"]),
            partition_by=tuple(about["partition_by"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{uri} is no plan of a seal ({error!r}); was it written by something else?") from error


def read_seal_record(output: Output, config_id: str, seal: int) -> SealRecord | None:
    """The record of one seal, or None where it is not complete."""
    uri = output.layout.seal_record(config_id, seal)
    try:
        return SealRecord.from_bytes(uri, output.store.read(uri))
    except ObjectNotFound:
        return None


def read_seal_records(output: Output, config_id: str, *, num_seals: int | None = None) -> list[SealRecord]:
    """The records of all complete seals in order, or of the first `num_seals`, each of which must be there.

    Raises StorageError where one is missing that a later one stands on.
    """
    if num_seals is None:
        numbers = [n for n, is_record in seal_names(output, config_id) if is_record]
        num_seals = max(numbers, default=-1) + 1
    uris = [output.layout.seal_record(config_id, n) for n in range(num_seals)]
    try:
        return [
            SealRecord.from_bytes(uri, data) for uri, (_, data) in zip(uris, output.store.read_many(uris), strict=True)
        ]
    except ObjectNotFound as error:
        raise StorageError(
            f"one of the {num_seals} seal records of config_id {config_id} is missing ({error}), so that what is sealed"
            " cannot be told; bring the file back from a copy of the bucket"
        ) from error


def seal_names(output: Output, config_id: str) -> Iterator[tuple[int, bool]]:
    """(number, whether it is a record) of every plan and record, in order. As fresh as the store's listings."""
    for info in output.list("seals", config_id):
        number, _, ending = info.uri.rpartition("/")[2].partition(".")
        if number.isdigit() and ending in ("json", "plan.parquet"):
            yield int(number), ending == "json"


def fix_layout(output: Output, partition_by: Sequence[str]) -> None:
    """Fixes how the tables of an output are partitioned, once and for all. Raises ConfigError where it differs.

    A glob over folders of different depths is an error in some readers, which is why it can never change.
    """
    check_partition_by(partition_by)
    wanted = {"partition_by": list(partition_by)}
    data = (json.dumps(wanted) + "\n").encode()
    put = output.store.put_once(output.layout.partitioning, data)
    if put.is_ours:
        return
    there = list(read_layout(output) or ())
    if there != wanted["partition_by"]:
        raise ConfigError(
            f"output.partition_by is {wanted['partition_by']}, but the tables in {output.root} are partitioned by"
            f" {there} since their first rows, which cannot change: set it to {there}, or use another output.uri"
        )


def read_layout(output: Output) -> tuple[str, ...] | None:
    """What the tables of an output are partitioned by; None where that is not fixed yet. Raises StorageError."""
    try:
        return tuple(json.loads(output.store.read(output.layout.partitioning))["partition_by"])
    except ObjectNotFound:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{output.layout.partitioning} is no layout of an output ({error!r})") from error
