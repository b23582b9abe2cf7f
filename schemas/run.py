"""What a run says about itself: Plan before it, Progress during it, RunSummary after it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from framegate.schemas.audit_sample import AuditSample
from framegate.schemas.counts import Counts
from framegate.schemas.drift import DriftRow
from framegate.schemas.qa import Question

if TYPE_CHECKING:
    import pyarrow as pa  # takes half a second to import, which what only shows progress need not wait for


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `of` equal parts of the work, counted from 1: a video belongs to one by its id."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would run. `num_videos` is what the input names; `num_skipped` of them have no work left.

    num_erased            of those that are skipped: erased on request, and staying out
    num_settled           of those that are skipped: not complete, and not tried again now (see `schemas.retries`)
    num_elsewhere         with work left that another shard of the array does: neither skipped nor in `videos`
    num_stored_rows       answers that are there already; what is committed twice may count twice
    num_gone              of those that are skipped: storage does not have them any more, and nothing is left to do
    videos                one row in PLANNED for each video with work left
    changes               rows in VIDEO_STATES: videos that came, were overwritten or went away since the last run
    notices               what a person should know of it, a sentence each
    damaged               URIs of objects of the journal that are no units, which the run sets aside
    first_refused         by reason, the first video that is given up before it is read
    columns               of manifests and side files, without `input_`: their types, where any row has a value
    num_ignored_members   what tar shards hold beside videos and their side files, by extension
    audit                 the sample of rows that are asked although the answer is there; None: none is, or not settled
    """

    config_id: str
    num_videos: int
    num_skipped: int
    num_erased: int
    num_settled: int
    videos: pa.Table
    changes: pa.Table
    questions: tuple[Question, ...]
    num_gone: int = 0
    notices: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    first_refused: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, pa.DataType] = field(default_factory=dict)
    num_ignored_members: Mapping[str, int] = field(default_factory=dict)
    num_elsewhere: int = 0
    num_stored_rows: int = 0
    audit: AuditSample | None = None


class Phase(StrEnum):
    """What a run is at, in this order. Where nothing is left to do it never works."""

    STARTING = "starting"
    """it looks whether the output can be written, and whether it may begin"""
    PLANNING = "planning"
    """it finds videos, and what of them is left to do"""
    LOADING = "loading"
    """it starts Ray, the workers and the model: until the first unit is committed"""
    WORKING = "working"
    """units are decoded, asked and committed"""
    SEALING = "sealing"
    """what is committed becomes tables"""
    RECORDING = "recording"
    """it counts what came of it, and stores its record"""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast rows come, as far as the later half of the work tells: `num_rows` in `seconds`, both above 0; and how
    many more are expected."""

    num_rows: int
    seconds: float
    num_rows_left: float

    @property
    def rows_per_second(self) -> float:
        return self.num_rows / self.seconds

    def seconds_left(self, since_seconds: float = 0.0) -> float:
        """Until the last row is committed; what is sealed and counted then is not in it. `since_seconds`: nothing has
        come for so long, which makes it longer: a run that hangs does not come nearer to its end."""
        return self.num_rows_left * (self.seconds + since_seconds) / self.num_rows


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands. `num_videos_begun` of `num_videos_planned` have at least one unit committed.

    `config_id` and `num_videos_planned` are known once the plan is made, `pace` once it can be told.
    """

    run_id: str = ""
    config_id: str | None = None
    phase: Phase = Phase.WORKING
    num_videos_planned: int = 0
    num_videos_begun: int = 0
    counts: Counts = field(default_factory=Counts)
    elapsed_seconds: float = 0.0
    pace: Pace | None = None

    @property
    def share_done(self) -> float:
        """Of the work in rows, from 0 to 1; 0 until that can be told."""
        rows = self.counts.num_answers + self.counts.num_deepened + self.counts.num_failures
        return rows / (rows + self.pace.num_rows_left) if self.pace and rows else 0.0

    def at(self, **values: Any) -> Progress:
        """The same with some values anew."""
        return replace(self, **values)


StopCode = Literal["signal", "deadline", "breaker", "unparsed", "budget"]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a run ends before all is done: by what, and in a sentence. `signal_number` where a signal asked for it."""

    code: StopCode
    sentence: str
    signal_number: int | None = None


INTERRUPTED: Final = Stop(code="signal", sentence="signal SIGINT", signal_number=signal.SIGINT)


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """When a run has to be over, in UTC, and how that was given."""

    at: datetime
    said: str


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run ended. Every video that was planned is in exactly one of answered, failed, skipped and left.

    answered  every question of every clip is stored, as an answer or as a failure of that question
    failed    frames could not be decoded, from the start or from some clip on
    skipped   no work was left before this run began; `num_videos_gone` of them are gone from storage
    left      not complete: the run was stopped, or it lost something and `is_complete` says so

    The four are None where a stopped run had no time left to count.

    Beside these, `num_videos_elsewhere` with work left were for other runs that share the work.

    counts holds what this run stored, as storage has it after sealing. `num_lost_races` units were committed by another
    run while this one worked on them; their rows are that run's. `num_set_aside` objects of the journal were no units,
    and are in the quarantine. `stop` is why it ended early, if it did.
    `is_sealed` is False where there was no time left to seal it all. `seal_seconds_per_unit` is what
    a unit took to seal, where the run sealed enough of them to tell. `defers`: rows that are to
    think may have been let go, as first answers come first. `phase_seconds` is how long the run was in each
    Phase, up to the moment in which this was made. `notices` are those of the plan. `drift` is what was compared with
    the nights before, None where nothing was, as `drift_note` says; `drift_look` counts such comparisons.
    """

    run_id: str
    config_id: str
    num_videos_planned: int
    num_videos_answered: int | None
    num_videos_failed: int | None
    num_videos_skipped: int | None
    num_videos_left: int | None
    counts: Counts
    elapsed_seconds: float
    num_videos_elsewhere: int = 0
    num_videos_gone: int = 0
    num_lost_races: int = 0
    num_set_aside: int = 0
    stop: Stop | None = None
    is_sealed: bool = True
    seal_seconds_per_unit: float | None = None
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    defers: bool = False
    drift: tuple[DriftRow, ...] | None = None
    drift_look: int | None = None
    drift_note: str | None = None

    @property
    def is_stopped(self) -> bool:
        return self.stop is not None

    @property
    def stop_code(self) -> str | None:
        return None if self.stop is None else self.stop.code

    @property
    def stop_reason(self) -> str | None:
        """One sentence."""
        return None if self.stop is None else self.stop.sentence

    @property
    def left_over(self) -> str:
        """What there is to say where the run came to its end and is not complete."""
        number = "an unknown number of" if self.num_videos_left is None else f"{self.num_videos_left:,}"
        return f"{number} videos are not complete although the run came to its end"

    @property
    def is_complete(self) -> bool:
        """False where work is left that was not left on purpose: the run's own books do not balance."""
        named = (self.num_videos_answered, self.num_videos_failed, self.num_videos_skipped, self.num_videos_left)
        parts = sum(number for number in named if number is not None)
        return parts == self.num_videos_planned and (self.num_videos_left == 0 or self.is_stopped)
