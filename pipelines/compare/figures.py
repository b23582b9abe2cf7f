"""What a comparison says: figures of each job, of each pair with the first job, and of each question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

LEVEL: Final = 0.95
"""Of all intervals, and of all tests that are called a difference."""

FEW_VIDEOS: Final = 30
"""With fewer clusters than some 20 to 50 intervals tend to be too narrow (Cameron and Miller 2015)."""

Axis = Literal["cost", "seconds", "written", "seen"]


@dataclass(frozen=True, kw_only=True)
class JobFigures:
    """Of the compared rows of one job.

    accuracy      right rows by all: those that failed, are deferred or cannot be read are wrong
    low, high     its interval (`calibrate.estimate.estimate_share`), clustered by video; None where there is one video
    think_share   of the answered rows; means are of these, too, since nothing is known of what a failure cost
    prompt_tokens, video_tokens
                  seen for a row: of its prompts, the video's included, and of these those that stand for frames
    written_tokens
                  of answers and of thinking, for a row
    seconds       of the engine's busy time, for a row: rows share it
    cost          of 1,000 rows, of that time alone, by the job's cost.gpu_hour; None where there is no price
    num_missing   labelled rows that this job was not asked, and that are left out therefore
    is_on_front   no other job is as right for less, or more right for as much, on the axis of the picture
    """

    job: str
    strategy: str
    config_id: str
    num_rows: int
    num_right: int
    accuracy: float
    low: float | None
    high: float | None
    num_unparsed: int
    num_deferred: int
    num_failed: int
    think_share: float | None
    prompt_tokens: float | None
    video_tokens: float | None
    written_tokens: float | None
    seconds: float | None
    cost: float | None
    currency: str | None
    num_missing: int
    is_on_front: bool = False


@dataclass(frozen=True, kw_only=True)
class DifferenceFigures:
    """A job less the first one (`calibrate.paired`). `p_holm`: of the clustered tests of all jobs together."""

    job: str
    difference: float
    low: float | None
    high: float | None
    num_more: int
    num_fewer: int
    p_rows: float
    p_videos: float
    p_holm: float

    @property
    def verdict(self) -> str:
        if self.p_holm > 1 - LEVEL:
            return "no difference shown"
        return "more often right" if self.difference > 0 else "less often right"


@dataclass(frozen=True, kw_only=True)
class QuestionFigures:
    """How often each job is right about one question, in the order of the jobs."""

    question_id: str
    num_rows: int
    accuracies: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The whole. `num_left_out` of the labels are of rows that some job was not asked; `num_unknown` of none at all."""

    jobs: tuple[JobFigures, ...]
    differences: tuple[DifferenceFigures, ...]
    questions: tuple[QuestionFigures, ...]
    num_labels: int
    num_rows: int
    num_left_out: int
    num_unknown: int
    num_videos: int
    axis: Axis
