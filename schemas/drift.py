"""What a run says of drift: how far a night's answers have moved away from those of the nights before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

Measure = Literal["think", "confidence", "answer", "unreadable", "audit", "failure"]
"""What is compared, of each video a share: see MEASURED."""

MEASURED: Final[Mapping[Measure, str]] = {
    "think": "rows that the gate is unsure of, at the threshold of now",
    "confidence": "first answers below {detail}",
    "answer": 'answer "{detail}"',
    "unreadable": "answers that cannot be read",
    "audit": "audited rows that thinking changed",
    "failure": "videos that failed with {detail}",
}
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
MAX_SAID: Final = 8
"""Alarms that are told one by one where lines are few."""


@dataclass(frozen=True, kw_only=True)
class DriftRow:
    """One share that was compared, as means over videos: each counts once, whatever its length.

    question_id          None: of whole videos
    input, value         the manifest's column, without `input_`, and its value; None: all videos
    detail               of `confidence` the bound, of `answer` the answer, of `failure` the reason; else None
    before, now          the means; `low` and `high` bound `now - before`, wrong together with a chance of `delta`
    num_nights           that `now` is made of: this night alone, or the last three together
    alarm                the change is surely larger than `drift.min_change`
    """

    question_id: str | None
    input: str | None
    value: str | None
    measure: Measure
    detail: str | None
    before: float
    now: float
    low: float
    high: float
    delta: float
    num_videos_before: int
    num_videos: int
    num_nights_before: int
    num_nights: int
    alarm: bool

    @property
    def what(self) -> str:
        """What is compared, in words."""
        return MEASURED[self.measure].format(detail=self.detail)

    @property
    def sentence(self) -> str:
        """Without a full stop."""
        where = f" at {self.input}={self.value}" if self.input else ""
        about = f"{self.question_id}{where}: {self.what}" if self.question_id else f"{self.what}{where}"
        nights = "this night" if self.num_nights == 1 else f"the last {self.num_nights} nights"
        return (
            f"{about}, {self.before:.1%} before and {self.now:.1%} now, a change of {self.low:+.1%} to {self.high:+.1%}"
            f" ({self.num_videos:,} videos of {nights} against {self.num_videos_before:,})"
        )


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What a run found. rows: None: nothing was compared, and `note` says why. look: which comparison of the output
    this was, from 1."""

    rows: tuple[DriftRow, ...] | None = None
    look: int | None = None
    note: str | None = None


NO_DRIFT: Final = Drift()
"""Of what looks for none, such as a deepening."""

_FIELDS: Final = tuple(field.name for field in fields(DriftRow))


def rows_of(record: Mapping[str, Any]) -> tuple[DriftRow, ...]:
    """The rows in a run's record; none in one of an earlier version."""
    told: Iterable[Mapping[str, Any]] = record.get("drift") or ()
    each: Iterable[dict[str, Any]] = ({name: row.get(name) for name in _FIELDS} for row in told)
    return tuple(DriftRow(**values) for values in each)


def alarms_of(rows: Iterable[DriftRow] | None) -> tuple[DriftRow, ...]:
    return tuple(row for row in rows or () if row.alarm)


def say_drift(rows: Iterable[DriftRow] | None, *, most: int = MAX_SAID) -> list[str]:
    """Lines for a person: how many alarms, and one for each of the first of them; none where nothing has drifted."""
    alarms = alarms_of(rows)
    if not alarms:
        return []
    count = "1 alarm" if len(alarms) == 1 else f"{len(alarms):,} alarms"
    more = [f"drift: and {len(alarms) - most:,} more"] if len(alarms) > most else []
    return [f"drift: {count}", *(f"drift: {row.sentence}" for row in alarms[:most]), *more]
