"""Outputs as earlier versions left them: config_id is a column of each sealed file as well as a part of its path, or
columns that are newer are not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from framegate.pipelines.commit.growth import Mark
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.sealed_file import columns_digest
from framegate.pipelines.commit.sealed_parquet import encode_sealed
from framegate.schemas.tables import NEWER_COLUMNS


def put_config_id_into_files(output: Output) -> None:
    """Writes all sealed files anew, and what the records of their seals say of the bytes and columns."""
    _write_anew(output, _with_config_id)
    layout = Path(output.root, "layout.json")
    if layout.exists():
        document = json.loads(layout.read_text())
        layout.write_text(json.dumps({"partition_by": document["partition_by"]}) + "\n")


def take_newer_columns_out(output: Output) -> None:
    """The same with files that have none of NEWER_COLUMNS."""
    _write_anew(output, lambda path, _: _without_newer(path))


def _write_anew(output: Output, make: Callable[[Path, str], bytes]) -> None:
    for config_id in {path.name for path in Path(output.root, "seals").iterdir()}:
        _write_files(output, config_id.removeprefix("config_id="), make)


def _write_files(output: Output, config_id: str, make: Callable[[Path, str], bytes]) -> None:
    said: dict[str, dict[str, str | int]] = {}
    for table in ("results", "failures"):
        for path in Path(output.layout.folder(table, config_id)).rglob("*.parquet"):
            data = make(path, config_id)
            path.write_bytes(data)
            sha256 = hashlib.sha256(data).hexdigest()
            digest = columns_digest(pq.read_schema(pa.BufferReader(data)))
            about = {"size_bytes": len(data), "sha256": sha256, "sha256_sealed": sha256, "columns": digest}
            said[str(path.relative_to(output.root))] = about
    for record in sorted(Path(output.layout.folder("seals", config_id)).glob("*.json")):
        document = json.loads(record.read_text())
        for file in document["files"]:
            if file["uri"] in said:  # clips stay as they are: earlier versions had none
                file.update(said[file["uri"]], sha256_before=None)
        record.write_text(json.dumps(document))


def _without_newer(path: Path) -> bytes:
    file = pq.ParquetFile(path)
    mark = Mark.of(file.metadata, number=int(path.stem))
    kept = [name for name in file.schema_arrow.names if name not in NEWER_COLUMNS]
    groups = [file.read_row_group(number, columns=kept) for number in range(file.num_row_groups)]
    schema = pa.schema([file.schema_arrow.field(name) for name in kept]).remove_metadata()
    return encode_sealed([rows.cast(schema) for rows in groups], schema, metadata=mark.to_metadata())


def _with_config_id(path: Path, config_id: str) -> bytes:
    file = pq.ParquetFile(path)
    mark = Mark.of(file.metadata, number=int(path.stem))
    place = file.schema_arrow.get_field_index("run_id")
    column = pa.field("config_id", pa.dictionary(pa.int32(), pa.string()), nullable=False)
    schema = file.schema_arrow.insert(place, column).remove_metadata()
    groups = []
    for number in range(file.num_row_groups):
        rows = file.read_row_group(number)
        values = pa.chunked_array([pa.array([config_id] * rows.num_rows).dictionary_encode()])
        groups.append(pa.Table.from_arrays([*rows.columns[:place], values, *rows.columns[place:]], schema=schema))
    return encode_sealed(groups, schema, metadata=mark.to_metadata())
