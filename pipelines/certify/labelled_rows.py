"""Audited rows beside what people say is right: which answers are right, and which rows need a label.

accuracy   rows whose answers differ; of the others both are right, or neither
error      the first rows in the order of the audit's rank, whatever their answers: these are a uniform draw. Rows
           with a label behind the first one without are left out, since others may have been labelled for a reason
precision  rows that one of the two answers says yes to, in the order of the rank
recall     all rows of yes/no questions, in the order of the rank
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from framegate.pipelines.calibrate.accuracy import labels_wanted
from framegate.pipelines.calibrate.audited import Ints
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.results.agreement import STRICT, compare_all
from framegate.schemas.certificate import Claim
from framegate.schemas.label import Label

LISTED: Final = (
    "video_id", "video_uri", "clip_index", "start_seconds", "end_seconds", "question_hash", "question_id", "question",
    "question_options", "answer_type", "first_value", "second_value", "confidence_first",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """The sample with its labels. Arrays have one value for each row: 1, 0, or NaN where there is no label.

    `final_right` is of the answer that stands in the row. `differs`, bool: the answers are other ones, without the
    tolerance that the agreement claim may allow.
    """

    found: AuditRows
    first_right: np.ndarray
    second_right: np.ndarray
    final_right: np.ndarray
    is_yes: np.ndarray
    differs: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """[the second answer is right] - [the first is right]"""
        return self.second_right - self.first_right

    @property
    def first_says_yes(self) -> np.ndarray:
        """bool (n,)"""
        return _is_yes(self.found.rows.column("first_value").to_pylist())

    @property
    def second_says_yes(self) -> np.ndarray:
        """bool (n,): a second answer that cannot be read leaves the first."""
        return _is_yes(_second_or_first(self.found.rows))

    @property
    def num_labels(self) -> int:
        return int((~np.isnan(self.first_right)).sum())

    @property
    def num_leading(self) -> int:
        """So many rows from the lowest rank on all have labels."""
        missing = np.flatnonzero(np.isnan(self.first_right))
        return int(missing[0]) if missing.size else len(self.first_right)

    def wanted(self, claim: Claim, *, epsilon: float, delta: float) -> Ints:
        """Places of the rows that a person should look at next, most useful first."""
        is_open = np.isnan(self.first_right)
        if claim == "accuracy":
            return labels_wanted(self.found.confidence, self.differs, self.gain, epsilon=epsilon, delta=delta)
        if claim == "precision":
            is_open &= self.first_says_yes | self.second_says_yes
        return np.flatnonzero(is_open)

    def listed(self, places: Ints) -> pa.Table:
        """These rows with the columns of LISTED."""
        return self.found.rows.select(list(LISTED)).take(pa.array(places))


def label_rows(found: AuditRows, labels: Mapping[tuple[str, int, str], Label]) -> LabelledRows:
    """The sample, and which of its answers the labels call right. An answer that cannot be read is wrong."""
    names = ("video_id", "clip_index", "question_hash")
    keys = zip(*(found.rows.column(name).to_pylist() for name in names), strict=True)
    told = [labels[key].answer if key in labels else None for key in keys]
    has_label = np.array([text is not None for text in told], bool)
    rows = found.rows.append_column("label", pa.array(told, pa.string()))
    rows = rows.append_column("second", pa.array(_second_or_first(found.rows), pa.string()))
    answers = ("first_value", "second", "answer")
    pairs = [(name, "label", found.tolerance) for name in answers]
    *right, same = compare_all(rows, [*pairs, ("first_value", "second_value", STRICT)])
    first, second, final = (np.where(has_label, [one is True for one in each], np.nan) for each in right)
    has_second = [value is not None for value in rows.column("second_value").to_pylist()]
    return LabelledRows(
        found=found,
        first_right=first,
        second_right=second,
        final_right=final,
        is_yes=np.where(has_label, _is_yes(told), np.nan),
        differs=np.array([is_there and one is not True for is_there, one in zip(has_second, same, strict=True)], bool),
    )


def _second_or_first(rows: pa.Table) -> list[str | None]:
    columns = (rows.column(name).to_pylist() for name in ("first_value", "second_value"))
    return [first if second is None else second for first, second in zip(*columns, strict=True)]


def _is_yes(values: Sequence[str | None]) -> np.ndarray:
    return np.array([value is not None and value.strip().lower() == "yes" for value in values], bool)
