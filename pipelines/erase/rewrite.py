"""Objects rewritten without some videos: tables without their rows, records with digests in place of their names.

These are functions from bytes to bytes. The same bytes give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from framegate.pipelines.commit.deepened_rows import DEEPENED_KIND
from framegate.pipelines.commit.growth import Mark, encode_marked, groups_of_last_seal
from framegate.pipelines.commit.plan_history import plan_of
from framegate.pipelines.commit.run_history import HISTORY_ENDING, encode_history, parse_history
from framegate.pipelines.commit.runs import encode_record, parse_record
from framegate.pipelines.commit.sealed_parquet import ROW_KINDS, in_order
from framegate.pipelines.erase.targets import Targets, redact
from framegate.pipelines.store.parquet import encode_parquet, one_of_ours
from framegate.schemas.keys import uri_digest

_COUNTED: Final = {"answer": "answers", "failure": "failures", "clip": "clips", DEEPENED_KIND: "deepened"}


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What comes in the place of an object; `removed` by run_id, as in a `Replacement`."""

    data: bytes
    rows_before: int
    rows_after: int
    removed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def without_rows(uri: str, data: bytes, targets: Targets) -> Rewritten | None:
    """A sealed file or a plan without the rows of the targets; None where it has none.

    The other rows keep their row groups and schema, and are encoded as such a file always is. Where no row is left, the
    file is an empty table. Raises StorageError where it is no such file.
    """
    with one_of_ours(uri, cure="bring it back from a copy"):
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        seen = (file.read_row_group(number, columns=["video_uri"]) for number in range(file.num_row_groups))
        erased = targets.among(uri for rows in seen for uri in rows.column("video_uri").unique().to_pylist())
        if not erased:
            return None
        is_erased = pc.field("video_uri").isin(sorted(erased))
        names = file.schema_arrow.names
        columns = [
            name for name in ("run_id", "stage", "question_hashes", "clip_policy", "deepened_run_id") if name in names
        ]
        removed = file.read(columns=[*columns, "video_uri"]).filter(is_erased)
        left = (file.read_row_group(number).filter(~is_erased) for number in range(file.num_row_groups))
        return Rewritten(
            data=_encode(uri, data, file, left, is_erased),
            rows_before=file.metadata.num_rows,
            rows_after=file.metadata.num_rows - removed.num_rows,
            removed=removed_by_run(uri, removed),
        )


def _encode(
    uri: str, data: bytes, file: pq.ParquetFile, row_groups: Iterable[pa.Table], is_erased: pc.Expression
) -> bytes:
    """A sealed file keeps its mark, so that a sealer that was frozen does not take it for one without its rows."""
    kept = (rows for rows in row_groups if rows.num_rows)
    if "question_hashes" not in file.schema_arrow.names and "run_id" in file.schema_arrow.names:
        stem = uri.rpartition("/")[2].removesuffix(".parquet")
        mark = Mark.of(file.metadata, number=int(stem) if stem.isdigit() else 0)
        last = file.read_row_groups(list(groups_of_last_seal(file.metadata, mark)), columns=["video_uri"])
        mark = replace(
            mark,
            num_new_rows=last.filter(~is_erased).num_rows,
            sha256_sealed=mark.sha256_sealed or hashlib.sha256(data).hexdigest(),
        )
        return encode_marked(
            (in_order(_table_of(file.schema_arrow.names), rows) for rows in kept), file.schema_arrow, mark
        )
    rows = pa.concat_tables([file.schema_arrow.empty_table(), *kept])
    return encode_parquet(rows, row_group_rows=file.metadata.row_group(0).num_rows)


def _table_of(columns: Sequence[str]) -> str:
    """Which table a sealed file with these columns is of."""
    return "failures" if "stage" in columns else "clips" if "clip_policy" in columns else "results"


def _count_videos(uri: str, rows: pa.Table) -> dict[str, dict[str, int]]:
    if "run_id" not in rows.column_names:
        return {plan_of(uri): {"videos": rows.num_rows}}
    num_rows = Counter(rows.column("run_id").to_pylist())
    return {run_id: {"videos": num_rows[run_id]} for run_id in sorted(num_rows)}


def removed_by_run(uri: str, rows: pa.Table) -> dict[str, dict[str, int]]:
    """By run_id, how many of `rows` are answers, failures and clips, and how many the run has deepened; of a plan, or
    of many of them: how many videos."""
    if "run_id" not in rows.column_names or "question_hashes" in rows.column_names:
        return _count_videos(uri, rows)
    run_ids = rows.column("run_id").to_pylist()
    if "row_kind" in rows.column_names:  # of the journal
        words = [_COUNTED[kind] for kind in rows.column("row_kind").to_pylist()]
    else:
        table = _table_of(rows.column_names)
        words = [_COUNTED[ROW_KINDS[table]]] * len(run_ids)
    counted: dict[str, Counter[str]] = {}
    for run_id, word in zip(run_ids, words, strict=True):
        counted.setdefault(run_id, Counter(answers=0, failures=0))[word] += 1
    if "deepened_run_id" in rows.column_names:
        for run_id in filter(None, rows.column("deepened_run_id").to_pylist()):
            counted.setdefault(run_id, Counter(answers=0, failures=0))["deepened"] += 1
    return {run_id: dict(counted[run_id]) for run_id in sorted(counted)}


def without_names(uri: str, data: bytes, targets: Targets) -> Rewritten | None:
    """A run's record, or the history of them, with digests for the targets' URIs; None where it names none.

    Raises StorageError.
    """
    history = parse_history(uri, data) if uri.endswith(HISTORY_ENDING) else None
    records = dict(history.records) if history is not None else parse_record(uri, data)
    redacted: Any = redact(records, targets, lambda found: f"erased:{uri_digest(found)}")
    if redacted == records:
        return None
    data = encode_record(redacted) if history is None else encode_history(replace(history, records=redacted))
    return Rewritten(data=data, rows_before=0, rows_after=0)
