"""Objects without what they hold of some videos: tables as they were but for their rows, records but for the name.

Pure functions of bytes; the same bytes give the same bytes. Knows nothing of storage.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.commit.journal import from_parquet, to_parquet
from pipelines.commit.records import parse_record
from pipelines.commit.wanted import Wanted, redact
from schemas.keys import uri_digest


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What comes in the place of an object; `removed` by run_id, as in a `Note`."""

    data: bytes
    rows_before: int
    rows_after: int
    removed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def without_rows(uri: str, data: bytes, wanted: Wanted) -> Rewritten | None:
    """A sealed file or a plan without the rows of wanted videos, in the same order; None where it has none.

    Schema, metadata and the size of row groups stay as they are. Raises StorageError where it is no such file.
    """
    rows = from_parquet(uri, data)
    gone = wanted.among(rows.column("video_uri").unique().to_pylist())
    if not gone:
        return None
    is_gone = pc.field("video_uri").isin(sorted(gone))
    left = rows.filter(~is_gone)
    metadata = pq.read_metadata(pa.BufferReader(data))
    return Rewritten(
        data=to_parquet(left, row_group_rows=metadata.row_group(0).num_rows),
        rows_before=rows.num_rows,
        rows_after=left.num_rows,
        removed=removed_by_run(uri, rows.filter(is_gone)),
    )


def removed_by_run(uri: str, rows: pa.Table) -> dict[str, dict[str, int]]:
    """By run_id, how many answers and failures `rows` are; of a plan, which is one run's: how many videos."""
    if "run_id" not in rows.column_names:
        return {uri.rpartition("/")[2].removesuffix(".parquet"): {"videos": rows.num_rows}}
    if "row_kind" in rows.column_names:  # of the journal
        failures = rows.filter(pc.field("row_kind") == "failure").column("run_id")
    else:
        failures = rows.column("run_id") if "stage" in rows.column_names else []
    num_rows, num_failures = Counter(rows.column("run_id").to_pylist()), Counter(map(str, failures))
    return {
        run_id: {"answers": num_rows[run_id] - num_failures[run_id], "failures": num_failures[run_id]}
        for run_id in sorted(num_rows)
    }


def without_names(uri: str, data: bytes, wanted: Wanted) -> Rewritten | None:
    """A run's record with digests in the place of wanted URIs; None where it names none. Raises StorageError."""
    record = parse_record(uri, data)
    redacted = redact(record, wanted, lambda found: f"erased:{uri_digest(found)}")
    if redacted == record:
        return None
    text = json.dumps(redacted, indent=2, sort_keys=True) + "\n"
    return Rewritten(data=text.encode(), rows_before=0, rows_after=0)
