"""Audited rows beside what people say is right: which answers are right, and which rows need a label.

accuracy   rows whose answers differ; of the others both are right, or neither
error      the first rows in the order of the audit's rank, whatever their answers: these are a uniform draw. Rows
           with a label behind the first one without are left out, since others may have been labelled for a reason
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.calibrate.accuracy import labels_wanted
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.results.agreement import STRICT, compare
from framegate.schemas.certificate import Claim
from framegate.schemas.label import Label

LISTED: Final = (
    "video_id", "video_uri", "clip_index", "start_seconds", "end_seconds", "question_hash", "question_id", "question",
    "question_options", "answer_type", "first_value", "second_value", "confidence_first",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """The sample with its labels. Arrays have one value for each row: 1, 0, or NaN where there is no label."""

    found: AuditRows
    first_right: np.ndarray
    second_right: np.ndarray

    @property
    def differs(self) -> np.ndarray:
        """bool (n,): the answers are other ones, without the tolerance that the agreement claim may allow."""
        return _differs(self.found.rows)

    @property
    def gain(self) -> np.ndarray:
        """[the second answer is right] - [the first is right]"""
        return self.second_right - self.first_right

    @property
    def num_labels(self) -> int:
        return int((~np.isnan(self.first_right)).sum())

    @property
    def num_leading(self) -> int:
        """So many rows from the lowest rank on all have labels."""
        missing = np.flatnonzero(np.isnan(self.first_right))
        return int(missing[0]) if missing.size else len(self.first_right)

    def wanted(self, claim: Claim, *, epsilon: float, delta: float, most: int) -> pa.Table:
        """The rows that a person should look at next, most useful first: the columns of LISTED."""
        if claim == "accuracy":
            places = labels_wanted(self.found.confidence, self.differs, self.gain, epsilon=epsilon, delta=delta)
        else:
            places = np.flatnonzero(np.isnan(self.first_right))
        return self.found.rows.select(list(LISTED)).take(pa.array(places[:most]))


def label_rows(found: AuditRows, labels: Mapping[tuple[str, int, str], Label]) -> LabelledRows:
    """The sample, and which of its answers the labels call right. An answer that cannot be read is wrong."""
    names = ("video_id", "clip_index", "question_hash")
    keys = zip(*(found.rows.column(name).to_pylist() for name in names), strict=True)
    told = [labels[key].answer if key in labels else None for key in keys]
    rows = found.rows.append_column("label", pa.array(told, pa.string()))
    second = pa.array(
        [there if there is not None else first for first, there in zip(
            rows.column("first_value").to_pylist(), rows.column("second_value").to_pylist(), strict=True
        )],
        pa.string(),
    )  # fmt: skip
    rows = rows.set_column(rows.schema.get_field_index("second_value"), "second_value", second)
    has_label = np.array([text is not None for text in told], bool)

    def right(name: str) -> np.ndarray:
        same = np.array([one is True for one in compare(rows, name, "label", found.tolerance)], np.float64)
        return np.where(has_label, same, np.nan)

    return LabelledRows(found=found, first_right=right("first_value"), second_right=right("second_value"))


def _differs(rows: pa.Table) -> np.ndarray:
    second = [value is not None for value in rows.column("second_value").to_pylist()]
    same = compare(rows, "first_value", "second_value", STRICT)
    return np.array([is_there and one is not True for is_there, one in zip(second, same, strict=True)], bool)
