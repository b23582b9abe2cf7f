"""The series that are compared: a share by question, value of a column and class, and how many videos have it how high.

DuckDB counts videos by level; a night of a million rows comes here as some thousand numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from framegate.pipelines.calibrate.audited import Floats
from framegate.pipelines.calibrate.mean_change import LEVELS, STEPS
from framegate.pipelines.drift.nights import Compared
from framegate.pipelines.drift.video_shares import BOUNDS, FAILED, SAID, SHARES, TOUCHED, VideoShares
from framegate.pipelines.results.view_sql import text_literal
from framegate.schemas.drift import Measure
from framegate.schemas.errors import REASON_MEANINGS
from framegate.schemas.qa import Question

MIN_VIDEOS: Final = 5
"""On each side: fewer never tell of a drift."""
MAX_VALUES: Final = 200
"""Of one column, those with the most videos tonight."""

_COLUMNS: Final[Mapping[str, tuple[Measure, str | None]]] = {
    "think": ("think", None),
    **{f"below_{place}": ("confidence", f"{bound:g}") for place, bound in enumerate(BOUNDS)},
    "unreadable": ("unreadable", None),
    "audit": ("audit", None),
}
_VALUES: Final = f"""
    SELECT {{column}} AS value FROM {TOUCHED} WHERE place = 0 AND {{column}} IS NOT NULL
    GROUP BY value HAVING count(*) >= {MIN_VIDEOS} ORDER BY count(*) DESC, value LIMIT {MAX_VALUES}"""
_OF_SHARES: Final = f"""
    SELECT span, question_hash, value, name, round(share * {STEPS})::INT AS level, count(*) AS num_videos,
        sum(share) AS total
    FROM (UNPIVOT (SELECT {{span}} AS span, question_hash, {{value}} AS value, {", ".join(_COLUMNS)} FROM {SHARES}
        WHERE {{is_ours}}) ON {", ".join(_COLUMNS)} INTO NAME name VALUE share)
    GROUP BY ALL"""
_OF_SAID: Final = f"""
    SELECT span, question_hash, value, class, round(share * {STEPS})::INT AS level, count(*) AS num_videos,
        sum(share) AS total
    FROM (SELECT {{span}} AS span, question_hash, {{value}} AS value, class, num_rows / num_said AS share
        FROM {SAID} JOIN {SHARES} USING (place, question_hash, video_id) WHERE {{is_ours}})
    GROUP BY ALL"""
_ALL_SAID: Final = f"""
    SELECT {{span}} AS span, question_hash, {{value}} AS value, count(*) AS num_videos
    FROM {SHARES} WHERE num_said > 0 AND {{is_ours}} GROUP BY ALL"""
_OF_FAILED: Final = f"""
    SELECT {{span}} AS span, {{value}} AS value, reason, count(DISTINCT (place, video_id)) AS num_videos
    FROM {FAILED} WHERE {{is_ours}} GROUP BY ALL"""
_ALL_TOUCHED: Final = f"""
    SELECT {{span}} AS span, {{value}} AS value, count(*) AS num_videos FROM {TOUCHED} WHERE {{is_ours}} GROUP BY ALL"""


class SeriesKey(NamedTuple):
    """What one series is about; the fields are those of DriftRow, but for the question's hash."""

    question_hash: str | None
    input: str | None
    value: str | None
    measure: Measure
    detail: str | None


class Side(NamedTuple):
    """Videos of one side of a comparison: how many have each level, and the sum of their shares."""

    counts: Floats
    total: float

    @property
    def num_videos(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        return self.total / float(self.counts.sum())


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Stretches of nights that are wholly on one side of each comparison or of none, by the places where they begin."""

    compared: Compared
    begins: tuple[int, ...]

    @staticmethod
    def of(compared: Compared) -> Spans:
        ends = {
            place
            for window in compared.windows
            for side in compared.places(window)
            for place in (side.start, side.stop)
        }
        return Spans(compared=compared, begins=tuple(sorted(ends)))

    @property
    def sql(self) -> str:
        """Of the column `place`."""
        return " + ".join(f"(place >= {begin})::INT" for begin in self.begins) + " - 1"

    def within(self, places: range) -> slice:
        """The numbers of those that make up a side."""
        return slice(self.begins.index(places.start), self.begins.index(places.stop))


@dataclass
class SeriesTable:
    """Counts of each series by span and level, as they are gathered.

    num_comparisons  of each measure: how many there may be, whatever was answered
    """

    spans: Spans
    num_comparisons: Mapping[Measure, int] = field(default_factory=dict)
    counts: dict[SeriesKey, Floats] = field(default_factory=dict)
    totals: dict[SeriesKey, Floats] = field(default_factory=dict)

    def add(self, key: SeriesKey, span: int, level: int, num_videos: float, total: float) -> None:
        if key not in self.counts:
            self.counts[key] = np.zeros((len(self.spans.begins), LEVELS))
            self.totals[key] = np.zeros(len(self.spans.begins))
        self.counts[key][span, level] += num_videos
        self.totals[key][span] += total

    def side(self, key: SeriesKey, places: range) -> Side:
        spans = self.spans.within(places)
        return Side(self.counts[key][spans].sum(axis=0), float(self.totals[key][spans].sum()))

    def sides(self) -> Iterator[tuple[SeriesKey, int, Side, Side]]:
        """Each comparison that has videos enough: the series, how many nights are `now`, before, and now."""
        for key in self.counts:
            for window in self.spans.compared.windows:
                now, before = (self.side(key, places) for places in self.spans.compared.places(window))
                if min(now.num_videos, before.num_videos) >= MIN_VIDEOS:
                    yield key, window, before, now


def read_series(shares: VideoShares, compared: Compared, questions: Iterable[Question]) -> SeriesTable:
    """All series of all videos, and of each value of each column. Raises StorageError."""
    table, num_groups = SeriesTable(Spans.of(compared)), 1
    _add_group(table, shares, None, "NULL::VARCHAR", "true")
    for number, column in enumerate(shares.by):
        name = f"by_{number}"
        values = [row["value"] for row in shares.ask(_VALUES.format(column=name))]
        if values:
            is_ours = f"{name} IN ({', '.join(map(text_literal, values))})"
            _add_group(table, shares, column, name, is_ours)
            num_groups += len(values)
    of_group = _count_series(shares, len([*questions]))
    table.num_comparisons = {
        measure: number * num_groups * len(compared.windows) for measure, number in of_group.items()
    }
    return table


def _count_series(shares: VideoShares, num_questions: int) -> dict[Measure, int]:
    """Of each measure, of one group of videos."""
    return {
        "think": num_questions,
        "confidence": num_questions * len(BOUNDS),
        "answer": sum(map(len, shares.classes.names.values())),
        "unreadable": num_questions,
        "audit": num_questions,
        "failure": len(REASON_MEANINGS),
    }


def _add_group(table: SeriesTable, shares: VideoShares, column: str | None, value: str, is_ours: str) -> None:
    how = {"span": table.spans.sql, "value": value, "is_ours": is_ours}
    for row in shares.ask(_OF_SHARES.format(**how)):
        measure, detail = _COLUMNS[row["name"]]
        key = SeriesKey(row["question_hash"], column, row["value"], measure, detail)
        table.add(key, row["span"], row["level"], row["num_videos"], row["total"])
    _add_answers(table, shares, column, how)
    _add_failures(table, shares, column, how)


def _add_answers(table: SeriesTable, shares: VideoShares, column: str | None, how: Mapping[str, str]) -> None:
    """A video that has no answer of a class has a share of 0 of it."""
    names = shares.classes.names
    for row in shares.ask(_ALL_SAID.format(**how)):
        for name in names[row["question_hash"]]:
            key = SeriesKey(row["question_hash"], column, row["value"], "answer", name)
            table.add(key, row["span"], 0, row["num_videos"], 0.0)
    for row in shares.ask(_OF_SAID.format(**how)):
        name = names[row["question_hash"]][row["class"]]
        key = SeriesKey(row["question_hash"], column, row["value"], "answer", name)
        _move(table, key, row)


def _add_failures(table: SeriesTable, shares: VideoShares, column: str | None, how: Mapping[str, str]) -> None:
    """Of all reasons that there are, so that none is chosen by what happened."""
    for row in shares.ask(_ALL_TOUCHED.format(**how)):
        for reason in REASON_MEANINGS:
            key = SeriesKey(None, column, row["value"], "failure", reason)
            table.add(key, row["span"], 0, row["num_videos"], 0.0)
    for row in shares.ask(_OF_FAILED.format(**how)):
        key = SeriesKey(None, column, row["value"], "failure", row["reason"])
        if key in table.counts:  # a reason of a later version is in no comparison
            _move(table, key, {**row, "level": STEPS, "total": row["num_videos"]})


def _move(table: SeriesTable, key: SeriesKey, row: Mapping[str, Any]) -> None:
    """Videos that were counted at 0 to the level that they have."""
    table.add(key, row["span"], 0, -row["num_videos"], 0.0)
    table.add(key, row["span"], row["level"], row["num_videos"], row["total"])
