"""How often the stored answers are right, by question: estimated from labels. It describes, and promises nothing.

Rows of the audit are a uniform draw, and their ranks put them in an order that depends on nothing else. They are
divided into strata: by whether both answers are the same, and by confidence. In each stratum the first rows of the
order, up to the first one without a label, are a uniform draw of the stratum: only their labels count, since those
behind may have been given for a reason. A stratum in which fewer than MIN_IN_STRATUM count is joined with another.

Rows that are written after people labelled come in between, and none of them has a label. So the estimate is about the
rows that were there when labels were given: of the last MAX_OCCASIONS times, the one by which most labels count.

Rows of a video go together: deviations are summed by video. That thinking came to the same answer, and how sure the
first one was, is a guess at whether it is right, and helps as far as labels bear it out (`calibrate.estimate`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.audited import Bools, Floats, Ints
from framegate.pipelines.calibrate.estimate import MeanEstimate, estimate_share
from framegate.pipelines.calibrate.neyman import NUM_DECILES, label_strata
from framegate.pipelines.certify.audit_rows import AuditRows
from framegate.pipelines.certify.labelled_rows import LabelledRows, label_rows
from framegate.schemas.label import MIN_LABELS, Label

MIN_IN_STRATUM: Final = 2
MAX_OCCASIONS: Final = 10
EDGES: Final = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
_FIRST_SAME: Final = NUM_DECILES + 1  # strata from this number on are of rows whose answers are the same


@dataclass(frozen=True, kw_only=True)
class ConfidencePart:
    """Audited rows whose first answer's confidence is in [low, high), the last part with 1 as well: how many there are,
    how many of them have a label, and how many of these are right."""

    low: float
    high: float
    num_rows: int
    num_labels: int
    num_right: int


@dataclass(frozen=True, kw_only=True)
class RightShare:
    """Of one question.

    share        of its answers that are right, with a 95 % interval; None where too few labels count
    num_rows     audited rows; `num_labels`: those with a label; `num_counted`: those whose label the share stands on
    num_videos   that these are of
    until        the share is about rows that were written until then
    """

    question_id: str
    share: MeanEstimate | None
    num_rows: int
    num_labels: int
    num_counted: int
    num_videos: int
    until: datetime | None
    parts: tuple[ConfidencePart, ...]


def find_right_shares(found: AuditRows, labels: Mapping[tuple[str, int, str], Label]) -> list[RightShare]:
    """Of each question that has audited rows, in the order of their ids."""
    names = ("video_id", "clip_index", "question_hash")
    keys = zip(*(found.rows.column(name).to_pylist() for name in names), strict=True)
    given = [labels[key].labelled_at.astimezone(UTC).replace(tzinfo=None) if key in labels else None for key in keys]
    rows = _Rows.of(label_rows(found, labels), np.array(given, "datetime64[us]"))
    hashes = np.array(found.rows.column("question_hash").to_pylist(), object)
    ids = {row["question_hash"]: row["question_id"] for row in found.counts}
    return [_of_question(ids[one], rows.among(hashes == one)) for one in found.count_by("question_hash")]


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """In the order of their ranks. right: 1, 0, or NaN without a label; given: when the label was."""

    confidence: Floats
    is_same: Bools
    right: Floats
    videos: np.ndarray
    written: np.ndarray
    given: np.ndarray

    @staticmethod
    def of(labelled: LabelledRows, given: np.ndarray) -> _Rows:
        table = labelled.found.rows
        return _Rows(
            confidence=labelled.found.confidence,
            is_same=~labelled.differs,
            right=labelled.final_right,
            videos=np.array(table.column("video_id").to_pylist(), object),
            written=np.array([at.replace(tzinfo=None) for at in table.column("written_at").to_pylist()], given.dtype),
            given=given,
        )

    def among(self, rows: np.ndarray) -> _Rows:
        return replace(self, **{name: values[rows] for name, values in vars(self).items()})


def _of_question(question_id: str, rows: _Rows) -> RightShare:
    has_label = ~np.isnan(rows.right)
    occasions = np.unique(rows.given[has_label])[-MAX_OCCASIONS:]
    frames = [_Frame.of(rows.among(rows.written <= at), at) for at in occasions]
    best = max(reversed(frames), key=lambda frame: frame.num_counted, default=None)  # of equal ones the latest
    return RightShare(
        question_id=question_id,
        share=None if best is None else best.share(),
        num_rows=rows.right.size,
        num_labels=int(has_label.sum()),
        num_counted=0 if best is None else best.num_counted,
        num_videos=0 if best is None else best.num_videos,
        until=None if best is None else datetime.fromisoformat(str(best.until)).replace(tzinfo=UTC),
        parts=_parts(rows),
    )


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """The rows that were there at one time, in strata; `counts`: those whose label counts."""

    rows: _Rows
    strata: Ints
    counts: Bools
    until: np.datetime64

    @staticmethod
    def of(rows: _Rows, until: np.datetime64) -> _Frame:
        strata = _join(label_strata(rows.confidence, rows.is_same), ~np.isnan(rows.right))
        return _Frame(rows=rows, strata=strata, counts=leading(strata, ~np.isnan(rows.right)), until=until)

    @property
    def num_counted(self) -> int:
        return int(self.counts.sum())

    @property
    def num_videos(self) -> int:
        return len({*self.rows.videos[self.counts]})

    def share(self) -> MeanEstimate | None:
        """None where too few labels count, or those of one video alone, which say nothing of how videos differ."""
        if self.num_counted < MIN_LABELS or self.num_videos < 2:
            return None
        guesses = np.where(self.rows.is_same, np.nan_to_num(self.rows.confidence, nan=0.5), 0.5)
        labels = np.where(self.counts, self.rows.right, np.nan)
        return estimate_share(labels, guesses, strata=self.strata, clusters=self.rows.videos)


def leading(strata: Ints, has_label: Bools) -> Bools:
    """Of each stratum the rows before the first one without a label."""
    found = np.zeros(strata.size, np.bool_)
    for number in np.unique(strata):
        places = np.flatnonzero(strata == number)
        found[places] = np.logical_and.accumulate(has_label[places])
    return found


def _join(strata: Ints, has_label: Bools) -> Ints:
    """Strata in which enough labels count; a single one where there are too few."""
    joined = strata.copy()
    while (numbers := np.unique(joined)).size > 1:
        counted = leading(joined, has_label)
        poor = [place for place, number in enumerate(numbers) if counted[joined == number].sum() < MIN_IN_STRATUM]
        if not poor:
            break
        joined[joined == numbers[poor[0]]] = numbers[_neighbour(numbers, poor[0])]
    return joined


def _neighbour(numbers: Ints, place: int) -> int:
    """The next stratum of higher confidence, else the one before; of the same half as long as there is one."""
    beside = [other for other in (place + 1, place - 1) if 0 <= other < numbers.size]
    alike = [other for other in beside if (numbers[other] < _FIRST_SAME) == (numbers[place] < _FIRST_SAME)]
    return (alike or beside)[0]


def _parts(rows: _Rows) -> tuple[ConfidencePart, ...]:
    """Those that have a row."""
    places = np.clip(np.searchsorted(EDGES, rows.confidence, side="right") - 1, 0, len(EDGES) - 2)
    places[np.isnan(rows.confidence)] = -1
    found: list[ConfidencePart] = []
    for place, (low, high) in enumerate(itertools.pairwise(EDGES)):
        right = rows.right[places == place]
        if right.size:
            num_labels, num_right = int((~np.isnan(right)).sum()), int(np.nansum(right))
            found.append(
                ConfidencePart(low=low, high=high, num_rows=right.size, num_labels=num_labels, num_right=num_right)
            )
    return tuple(found)
