"""The view `labels`: what people say is right, one row for each time that they said it, read by the question's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.labels import list_labels
from framegate.pipelines.commit.tombstones import erased_among, read_tombstones
from framegate.pipelines.results.opened import Opened
from framegate.schemas.label import Label

_RECORDS: Final = "label_records"
_SCHEMA: Final = pa.schema(
    [
        pa.field("config_id", pa.string()),
        pa.field("video_id", pa.string()),
        pa.field("clip_index", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("question_hash", "label", "labelled_by")),
        pa.field("labelled_at", pa.timestamp("us", tz="UTC")),
        pa.field("is_latest", pa.bool_()),
    ]
)
_ENDS: Final = r"'^\[([^,]+),\s*([^\]]+)\]$'"
# DuckDB leaves the join out where no column of it is asked for, as its keys are unique: then no answer is read.
_VIEW: Final = """
    CREATE TEMP VIEW labels AS
    SELECT r.config_id, r.video_id, r.clip_index, r.question_hash, a.question_id, a.answer_type, r.label,
        CASE WHEN a.answer_type = 'number' THEN TRY_CAST(r.label AS DOUBLE) END AS label_number,
        CASE WHEN a.answer_type = 'yes_no' THEN r.label = 'yes' END AS label_bool,
        CASE WHEN a.answer_type = 'span' THEN {start} END AS label_start_seconds,
        CASE WHEN a.answer_type = 'span' THEN {end} END AS label_end_seconds,
        r.labelled_by, r.labelled_at, r.is_latest
    FROM {records} AS r LEFT JOIN {asked} AS a ON a.config_id = r.config_id AND a.question_hash = r.question_hash"""
_ASKED: Final = """(
        SELECT config_id, question_hash, max_by(question_id, written_at) AS question_id,
            max_by(answer_type, written_at) AS answer_type
        FROM answers WHERE question_hash IN (SELECT question_hash FROM {records}) GROUP BY config_id, question_hash
    )"""
_NOBODY: Final = """(
        SELECT NULL::VARCHAR AS config_id, NULL::VARCHAR AS question_hash, NULL::VARCHAR AS question_id,
            NULL::VARCHAR AS answer_type WHERE false
    )"""

MEANINGS: Final = {
    "question_hash": "with config_id, video_id and clip_index the key of the row in answers",
    "question_id": "the question's id when it was last answered",
    "label": "the right answer, as `answer` would say it: option, yes/no, number, text or [start, end]",
    "label_number": "the same of a number question",
    "label_bool": "the same of a yes_no question",
    "label_start_seconds": "a span's start in seconds of the video",
    "label_end_seconds": "a span's end in seconds of the video",
    "labelled_by": "who says so",
    "labelled_at": "when the label was given",
    "is_latest": "the label that counts: no later one is of this row",
}


def create_labels(opened: Opened, known_videos: Callable[[], pa.Table]) -> None:
    """Makes the view; `answers` is there. A label of a video that an erasure is about is not shown, though it may be
    there still. What is no label is the audit's to tell. Raises StorageError."""
    told = [*list_labels(opened.output, opened.config_id, on_damaged=lambda error: None)]
    erased = _erased_ids(opened, known_videos) if told else set()
    rows = _rows([(config_id, label) for config_id, label in told if label.video_id not in erased])
    opened.connection.register(_RECORDS, pa.Table.from_pylist(rows, schema=_SCHEMA))
    start, end = (f"TRY_CAST(regexp_extract(r.label, {_ENDS}, {part}) AS DOUBLE)" for part in (1, 2))
    asked = _ASKED.format(records=_RECORDS) if rows else _NOBODY
    opened.connection.execute(_VIEW.format(start=start, end=end, records=_RECORDS, asked=asked))


def _rows(told: list[tuple[str, Label]]) -> list[dict[str, Any]]:
    """Of several labels of a row the last one counts."""
    last = {(config_id, label.key): place for place, (config_id, label) in enumerate(told)}
    return [
        {
            "config_id": config_id,
            "video_id": label.video_id,
            "clip_index": label.clip_index,
            "question_hash": label.question_hash,
            "label": label.answer,
            "labelled_by": label.labelled_by,
            "labelled_at": label.labelled_at,
            "is_latest": last[config_id, label.key] == place,
        }
        for place, (config_id, label) in enumerate(told)
    ]


def _erased_ids(opened: Opened, known_videos: Callable[[], pa.Table]) -> set[str]:
    tombstones = read_tombstones(opened.output)
    if not tombstones:
        return set()
    uris, ids = (known_videos().column(name).to_pylist() for name in ("video_uri", "video_id"))
    erased = erased_among(uris, tombstones)
    return {video_id for uri, video_id in zip(uris, ids, strict=True) if uri in erased}
