"""A night against those before it: each series has an interval of its change, and alarms where that is surely large.

The levels. A look at one night takes 6 delta / (pi^2 j^2), where j is its number. Each kind of measure takes an equal
part of that, and so does each comparison of a kind: whatever depends on what, all intervals of all nights that there
will ever be hold together with probability 1 - delta. How many comparisons there may be follows from the questions, and
from how many videos each value has, and from no answer; one that then has too few videos takes its part all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from framegate.pipelines.calibrate.mean_change import change_intervals, delta_of_night
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.runs import read_runs
from framegate.pipelines.drift.nights import Compared, find_compared
from framegate.pipelines.drift.series import SeriesKey, SeriesTable, Side, read_series
from framegate.pipelines.drift.video_shares import VideoShares, read_shares
from framegate.pipelines.results.views import open_views
from framegate.schemas.config import DriftConfig, OutputConfig
from framegate.schemas.drift import MEASURES, Drift, DriftRow
from framegate.schemas.errors import ObjectNotFound, VersionChanged
from framegate.schemas.job import Job
from framegate.schemas.qa import Question
from framegate.schemas.run import Shard

MAX_ALARMS: Final = 100
MAX_QUIET: Final = 30
"""Rows that a record has: alarms, the largest first, and figures of all videos that are none, the most changed first.
A record is read with each `status`."""
MAX_TRIES: Final = 3  # where a seal or an erasure replaces a file that is read
COMMON_COLUMN: Final = "camera"
FIRST: Final = "no complete night of this job and config_id is before it"


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """One series, one window: `delta` is its own."""

    key: SeriesKey
    window: int
    num_nights_before: int
    before: Side
    now: Side
    delta: float

    @property
    def change(self) -> float:
        return self.now.mean - self.before.mean


def judge_night(job: Job, questions: Sequence[Question], *, run_id: str, shard: Shard | None = None) -> Drift:
    """What has drifted in a run that is sealed and complete. `questions` are those that it asked, `shard` the part of
    the work that it did. Changes nothing.

    Raises StorageError.
    """
    output, config = job.config.output, job.config.drift
    runs = read_runs(Output.open(output), on_damaged=lambda error: None)
    compared = find_compared(runs.values(), run_id, num_before=config.runs)
    if compared is None:
        return Drift(note=FIRST)
    config_id, num_shards = runs[run_id]["config_id"], 1 if shard is None else shard.of
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            return _judge(output, config, questions, compared, config_id, num_shards)
        except (VersionChanged, ObjectNotFound):
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _judge(
    output: OutputConfig,
    config: DriftConfig,
    questions: Sequence[Question],
    compared: Compared,
    config_id: str,
    num_shards: int,
) -> Drift:
    with open_views(output.uri, output.storage_options, with_clips=False) as views:
        shares = read_shares(views, compared, questions, config_id=config_id, by=config.by, default_by=COMMON_COLUMN)
        table = read_series(shares, compared, questions)
    delta = delta_of_night(config.delta, compared.look, num_shards=num_shards)
    rows = make_rows(table, questions, delta=delta, min_change=config.min_change)
    return Drift(rows=_kept(rows), look=compared.look, note=_note(shares, rows))


def make_rows(table: SeriesTable, questions: Iterable[Question], *, delta: float, min_change: float) -> list[DriftRow]:
    """The alarms, and one row for each figure of all videos that is anything; in no order."""
    names = {question.hash: question.id for question in questions}
    compared = [each for each in _compare(table, delta) if _is_worth_it(each, min_change)]
    if not compared:
        return []
    before, now = (np.stack([getattr(each, side).counts for each in compared]) for side in ("before", "now"))
    low, high = change_intervals(before, now, np.array([each.delta for each in compared]))
    rows = [
        _row(each, names, float(least), float(most), min_change)
        for each, least, most in zip(compared, low, high, strict=True)
    ]
    return _one_each(rows)


def _compare(table: SeriesTable, delta: float) -> list[_Comparison]:
    compared = table.spans.compared
    return [
        _Comparison(
            key=key,
            window=window,
            num_nights_before=len(compared.places(window)[1]),
            before=before,
            now=now,
            delta=delta / len(MEASURES) / table.num_comparisons[key.measure],
        )
        for key, window, before, now in table.sides()
    ]


def _is_worth_it(each: _Comparison, min_change: float) -> bool:
    """Whether its interval is reckoned: it may alarm, or it is a figure of all videos. An interval holds the change
    that was seen, so that a smaller one than `min_change` never alarms."""
    is_anything = each.before.total > 0 or each.now.total > 0
    return abs(each.change) > min_change or (each.key.input is None and is_anything)


def _row(each: _Comparison, names: dict[str, str], low: float, high: float, min_change: float) -> DriftRow:
    """What fails less needs nobody."""
    key = each.key
    has_risen, has_fallen = low > min_change, high < -min_change
    return DriftRow(
        question_id=None if key.question_hash is None else names[key.question_hash],
        input=key.input,
        value=key.value,
        measure=key.measure,
        detail=key.detail,
        before=each.before.mean,
        now=each.now.mean,
        low=low,
        high=high,
        delta=each.delta,
        num_videos_before=each.before.num_videos,
        num_videos=each.now.num_videos,
        num_nights_before=each.num_nights_before,
        num_nights=each.window,
        alarm=has_risen or (has_fallen and key.measure != "failure"),
    )


def _one_each(rows: Iterable[DriftRow]) -> list[DriftRow]:
    """Of each series the comparison that alarms most, else that of this night alone."""
    best: dict[tuple[object, ...], DriftRow] = {}
    for row in rows:
        key = (row.question_id, row.input, row.value, row.measure, row.detail)
        there = best.get(key)
        if there is None or (row.alarm and (not there.alarm or _least(row) > _least(there))):
            best[key] = row
    return [row for row in best.values() if row.alarm or row.input is None]


def _least(row: DriftRow) -> float:
    """What the change is at least, in either direction."""
    return max(row.low, -row.high)


def _kept(rows: Iterable[DriftRow]) -> tuple[DriftRow, ...]:
    """As a record has them. Rows of all videos stand before those of a value, where both say the same."""
    alarms = sorted((row for row in rows if row.alarm), key=lambda row: (-_least(row), row.input or ""))
    quiet = sorted((row for row in rows if not row.alarm), key=lambda row: -abs(row.now - row.before))
    return (*alarms[:MAX_ALARMS], *quiet[:MAX_QUIET])


def _note(shares: VideoShares, rows: Sequence[DriftRow]) -> str | None:
    said = []
    if shares.missing:
        known = ", ".join(shares.known_columns) or "none"
        said.append(f"drift.by names {', '.join(shares.missing)}, which no manifest of this output has; it has {known}")
    if (num_alarms := sum(row.alarm for row in rows)) > MAX_ALARMS:
        said.append(f"of {num_alarms:,} alarms of drift the {MAX_ALARMS} largest are kept")
    return "; ".join(said) or None
