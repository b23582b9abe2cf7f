"""The view `calibrations`: one row for each certificate, as `framegate calibrate` kept it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from framegate.pipelines.commit.calibrations import read_calibrations
from framegate.pipelines.results.opened import Opened
from framegate.schemas.certificate import Calibration, Certificate

SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("calibration_id", "config_id")),
        pa.field("made_at", pa.timestamp("us", tz="UTC")),
        *(pa.field(name, pa.string()) for name in ("claim", "scope", "unit", "question_id", "question_hash")),
        *(pa.field(name, pa.float64()) for name in ("epsilon", "delta")),
        pa.field("num_together", pa.int64()),
        pa.field("threshold", pa.float64()),
        *(
            pa.field(name, pa.int64())
            for name in ("num_rows", "population", "num_units", "num_exits", "num_different", "num_labels")
        ),
        pa.field("bound", pa.float64()),
        pa.field("num_missing", pa.int64()),
        pa.field("is_latest", pa.bool_()),
        pa.field("audit_rate", pa.float64()),
        *(pa.field(name, pa.string()) for name in ("audit_unit", "audit_salt")),
        pa.field("num_uncovered", pa.int64()),
        *(pa.field(name, pa.float64()) for name in ("number_tolerance", "span_overlap")),
    ]
)
"""The fields of calibrations and certificates by their names (docs/output.md), and `is_latest`."""

MEANINGS: Final = {
    "made_at": "when it was made",
    "claim": "what epsilon bounds: agreement, accuracy, error, precision or recall",
    "scope": "archive: of the rows that were there; future: of what is to come",
    "unit": "of what is to come: video, or the column of the manifest that tells units apart",
    "question_id": "the question it is about; null: all rows",
    "question_hash": "the same by its hash",
    "threshold": "rows whose first answer is at least as sure may exit; null: none may",
    "delta": "the chance that this one certificate is wrong",
    "is_latest": "no later one has this config_id, claim, scope, unit and question",
}


def create_calibrations(opened: Opened) -> None:
    """Makes the view. What is no calibration is the audit's to tell. Raises StorageError."""
    made = read_calibrations(opened.output, opened.config_id, on_damaged=lambda error: None)
    opened.connection.register("calibration_records", pa.Table.from_pylist(_rows(made), schema=SCHEMA))
    opened.connection.execute("CREATE TEMP VIEW calibrations AS FROM calibration_records")


def _rows(made: Sequence[Calibration]) -> list[dict[str, Any]]:
    """The oldest first."""
    rows = [row for calibration in made for row in _of_calibration(calibration)]
    latest: dict[tuple[Any, ...], str] = {}
    for row in rows:
        latest[_about(row)] = row["calibration_id"]
    return [{**row, "is_latest": latest[_about(row)] == row["calibration_id"]} for row in rows]


def _about(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("config_id", "claim", "scope", "unit", "question_hash"))


def _of_calibration(calibration: Calibration) -> Iterator[dict[str, Any]]:
    """The certificate of all rows, then those of questions; of a single question they may be one and the same."""
    common = asdict(calibration) | {"made_at": datetime.fromisoformat(calibration.made_at)}
    certificates: list[Certificate] = [calibration.whole]
    certificates += [each for each in calibration.questions if each != calibration.whole]
    for each in certificates:
        known = {**common, **asdict(each)}
        yield {name: known[name] for name in SCHEMA.names if name != "is_latest"}
