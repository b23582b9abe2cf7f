"""What a run says about itself: Plan before it, Progress during it, RunSummary after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from framegate.schemas.counts import Counts
from framegate.schemas.qa import Question
from framegate.schemas.tables import VIDEO_STATES


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would run. `num_videos` is what the input names; `num_skipped` of them have no work left.

    num_erased            of those that are skipped: erased on request, and staying out
    num_settled           of those that are skipped: not complete, and not tried again now (see `schemas.retries`)
    num_gone              of those that are skipped: storage does not have them any more, and nothing is left to do
    videos                one row in PLANNED for each video with work left
    changes               rows in VIDEO_STATES: videos that came, were overwritten or went away since the last run
    notices               what a person should know of it, a sentence each
    num_ignored_members   what tar shards hold beside videos and their side files, by extension
    """

    config_id: str
    num_videos: int
    num_skipped: int
    num_erased: int
    num_settled: int
    videos: pa.Table
    questions: tuple[Question, ...]
    num_gone: int = 0
    changes: pa.Table = field(default_factory=VIDEO_STATES.empty_table)
    notices: tuple[str, ...] = ()
    num_ignored_members: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands. `num_videos_begun` of `num_videos_planned` have at least one unit committed."""

    num_videos_planned: int
    num_videos_begun: int
    counts: Counts
    elapsed_seconds: float


INTERRUPTED: Final = "interrupted"
"""The `stop_reason` of a run that Ctrl-C or SIGTERM ended."""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run ended. Every video that was planned is in exactly one of answered, failed, skipped and left.

    answered  every question of every clip is stored, as an answer or as a failure of that question
    failed    frames could not be decoded, from the start or from some clip on
    skipped   no work was left before this run began; `num_videos_gone` of them are gone from storage
    left      not complete: the run was stopped, or it lost something and `is_complete` says so

    counts holds what this run stored, as storage has it after sealing. `num_lost_races` units were committed by another
    run while this one worked on them; their rows are that run's. `stop_reason` is why it ended early, if it did.
    """

    run_id: str
    config_id: str
    num_videos_planned: int
    num_videos_answered: int
    num_videos_failed: int
    num_videos_skipped: int
    num_videos_left: int
    counts: Counts
    elapsed_seconds: float
    num_videos_gone: int = 0
    num_lost_races: int = 0
    stop_reason: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def is_stopped(self) -> bool:
        return self.stop_reason is not None

    @property
    def is_complete(self) -> bool:
        """False where work is left that was not left on purpose: the run's own books do not balance."""
        parts = self.num_videos_answered + self.num_videos_failed + self.num_videos_skipped + self.num_videos_left
        return parts == self.num_videos_planned and (self.num_videos_left == 0 or self.is_stopped)
