"""What a report says, as values: the page and `--json` are made of the same ones. Times are UTC, lengths seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from framegate.pipelines.report.truth import Truth
from framegate.schemas.drift import DriftRow


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One of the six questions in one sentence. `level`: all is well, somebody should look, somebody must act."""

    question: str
    level: Literal["well", "look", "act"]
    sentence: str
    anchor: str


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Clips that were committed in the `seconds` from `at` on."""

    at: datetime
    seconds: float
    num_clips: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the night went. `state` is that of its worst run; `num_left` is None where no run came to count it."""

    sentence: str
    state: str
    run_ids: tuple[str, ...]
    odd_shards: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    elapsed_seconds: float | None
    phase_seconds: Mapping[str, float]
    stop_code: str | None
    num_videos_answered: int | None
    num_videos_failed: int | None
    num_videos_skipped: int | None
    num_videos_left: int | None
    num_clips: int
    num_rows: int
    clip_hours: float
    throughput: tuple[Throughput, ...]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


MeasuredOn = Literal["audited rows", "this night", "all nights", "always_think"]
"""Whose rows that thought tell how long thinking takes: see `pipelines.report.saving`."""


@dataclass(frozen=True, kw_only=True)
class QuestionSaving:
    """What the gate spared one question; None where too few rows thought, in this night or beside it."""

    question_id: str
    num_exited: int
    num_thought: int
    spent_tokens: int
    measured_on: MeasuredOn | None
    num_measured: int
    saved_tokens: Estimate | None
    saved_seconds: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What the gate spared in all, of the questions that have an estimate. `is_gated`: a gate was at work.

    think_rate             of the rows that a gate was at work on; None where none was
    break_even_think_rate  where more of them thought, a model that thinks at once and writes no first answer would have
                           been busy for less time: 1 - (first answer's mean seconds) / (thinking's mean seconds)
    copied_share           of the night's rows, those that took over the answer of a clip that showed the same;
                           `copied_seconds`: what asking them would have kept the engine busy
    """

    is_gated: bool
    questions: tuple[QuestionSaving, ...]
    spent_tokens: int
    spent_seconds: float
    saved_tokens: Estimate | None
    saved_seconds: Estimate | None
    seconds_are: Literal["thinking", "difference"]
    think_rate: float | None = None
    break_even_think_rate: float | None = None
    copied_share: float = 0.0
    copied_seconds: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class CostShare:
    """One question's or camera's part of a night: its share of the engine's busy time, and of the cost in money; None
    where that is not known."""

    name: str | None
    num_rows: int
    engine_share: float
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Money, in `currency`; None where the job has no price or the figure is not known. `is_least`: it may be more."""

    currency: str
    gpu_hour: float | None
    total: float | None
    is_least: bool
    per_thousand_clips: float | None
    per_clip_hour: float | None
    saved: Estimate | None
    questions: tuple[CostShare, ...] = ()
    cameras: tuple[CostShare, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How complete one camera is, of all videos that are there now: each is in one of the four numbers."""

    camera: str | None
    num_complete: int
    num_partial: int
    num_failed: int
    num_missing: int
    num_clips: int
    clip_hours: float

    @property
    def num_videos(self) -> int:
        return self.num_complete + self.num_partial + self.num_failed + self.num_missing


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """`by` is the column that tells cameras apart; None: the folder that a video lies in.

    num_more       cameras that are complete and not listed
    num_deferred   answers that are first ones, and are to be thought about later
    """

    by: str | None
    cameras: tuple[Camera, ...]
    num_more: int
    num_deferred: int = 0


@dataclass(frozen=True, kw_only=True)
class QuestionTrust:
    """How far the answers to one question can be trusted. Shares are None where nothing could be counted.

    drift          total variation distance between the shares of its answers now and in the earlier night, from 0 to 1
    drift_by_chance  what that distance would be on average if nothing had changed
    has_drifted    the run says so in its record; where it has not looked, the distance is more than by chance
    """

    question_id: str
    text: str
    answer_type: str
    num_rows: int
    think_rate: float
    mean_confidence: float | None
    unparsed_share: float
    out_of_range_share: float
    num_compared: int
    disagreement: float | None
    earlier_rows: int
    earlier_think_rate: float | None
    earlier_confidence: float | None
    earlier_unparsed_share: float | None
    drift: float | None
    drift_by_chance: float | None
    has_drifted: bool


@dataclass(frozen=True, kw_only=True)
class ConfidenceBin:
    """First answers with a confidence in [low, high), the last bin with 1 as well."""

    low: float
    high: float
    num_exited: int
    num_thought: int


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """First answers in [low, high) that were thought about: how often the second answer was the same."""

    low: float
    high: float
    num_rows: int
    mean_confidence: float
    agreement: Estimate


@dataclass(frozen=True, kw_only=True)
class Trust:
    """`is_compared`: the night's own run has looked for drift, and `has_drifted` of each question is what it found."""

    is_compared: bool
    questions: tuple[QuestionTrust, ...]
    confidence: tuple[ConfidenceBin, ...]
    threshold: float | None
    reliability: tuple[ReliabilityBin, ...]
    num_compared: int
    agreement: float | None
    mean_confidence: float | None


@dataclass(frozen=True, kw_only=True)
class FailureReason:
    """Failures that stand, of one reason."""

    reason: str
    meaning: str
    num_failures: int
    num_given_up: int
    num_tonight: int
    example: str
    cameras: str


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """A video, or the rest of it, that no later run tries again by itself."""

    video_uri: str
    reason: str
    message: str
    attempts: int
    failed_at: datetime


@dataclass(frozen=True, kw_only=True)
class RowToSee:
    """A row that a person should look at, and why. `link` opens the video at that second where a link can.

    `answer_first` is read like the final one; as it stood in its box where it cannot be read.
    """

    why: Literal["unparsed", "out of range", "changed its mind", "least sure"]
    video_uri: str
    video_id: str
    clip_index: int
    start_seconds: float
    end_seconds: float
    clip_started_at: datetime | None
    camera: str | None
    question_id: str
    question: str
    answer: str | None
    answer_first: str | None
    confidence_first: float | None
    confidence_second: float | None
    link: str | None
    thumbnail: bytes | None


@dataclass(frozen=True, kw_only=True)
class Attention:
    failures: tuple[FailureReason, ...]
    given_up: tuple[GivenUp, ...]
    num_given_up: int
    drift: tuple[DriftRow, ...]  # alarms, the largest change first
    rows: tuple[RowToSee, ...]
    has_thumbnails: bool  # the output has rows of clips: earlier versions left none


@dataclass(frozen=True, kw_only=True)
class Event:
    """Consecutive clips of a camera with the same answer."""

    camera: str | None
    label: str
    started_at: datetime
    ended_at: datetime
    num_clips: int
    least_confidence: float | None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """`why_empty` says in a sentence why there is no event to show."""

    labels: tuple[str, ...]
    events: tuple[Event, ...]
    num_more: int
    why_empty: str | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure of the night and of the earlier one."""

    name: str
    unit: Literal["number", "share", "seconds", "money"]
    now: float | None
    earlier: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`is_asked`: by --compare; else it is the night before."""

    run_ids: tuple[str, ...]
    started_at: datetime | None
    changes: tuple[Change, ...]
    is_asked: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """`note` says where the rows are not all of the night, or not those of the night itself."""

    output_uri: str
    job: str | None
    config_id: str | None
    made_at: datetime
    time_zone: str
    num_erased: int
    note: str | None
    verdicts: tuple[Verdict, ...]
    ended: Ended
    cost: Cost
    saving: Saving
    coverage: Coverage
    trust: Trust
    truth: Truth
    attention: Attention
    timeline: Timeline
    comparison: Comparison | None
