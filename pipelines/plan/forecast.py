"""What a plan comes to in clips, answers and tokens, estimated from the headers of a few of its videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from framegate.pipelines.decode.estimate import Estimate, Probed, probe_videos
from framegate.pipelines.plan.plan import make_policy
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.job import Job
from framegate.schemas.run import Plan
from framegate.schemas.unit import PlannedVideo

# Headers are read from storage: 24 of them, spread over the videos, tell enough for an estimate in seconds.
MAX_PROBED = 24


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Estimates for all videos of a plan.

    num_probed            videos whose header was read
    num_unreadable        of those, how many cannot be decoded; they count as videos without clips
    max_generated_tokens  if every answer were as long, and as long thought about, as the strategy allows
    """

    num_probed: int
    num_unreadable: int
    estimated_clips: int
    estimated_rows: int
    estimated_video_tokens: int
    max_generated_tokens: int


def forecast(job: Job, planned: Plan, strategy: Strategy | None = None) -> Forecast:
    """Reads MAX_PROBED headers at most. Videos that are not probed are taken to be like those that are.

    `strategy` takes the place of the one that the job names.
    """
    num_planned = planned.videos.num_rows
    num_probed = min(MAX_PROBED, num_planned)
    places = pa.array([number * num_planned // num_probed for number in range(num_probed)], pa.int64())
    sample = list(PlannedVideo.from_table(planned.videos.take(places)))
    readable = _probe(job, sample)
    max_tokens = _max_tokens_of_answers(planned, strategy or make_strategy(job.config.gate))
    scale = num_planned / len(sample) if sample else 0.0
    return Forecast(
        num_probed=len(sample),
        num_unreadable=len(sample) - len(readable),
        estimated_clips=round(scale * sum(found.num_clips for _, found in readable)),
        estimated_rows=round(
            scale
            * sum(max(0, found.num_clips * len(video.question_hashes) - len(video.done)) for video, found in readable)
        ),
        estimated_video_tokens=round(scale * sum(found.num_video_tokens for _, found in readable)),
        max_generated_tokens=round(
            scale * sum(_max_generated_tokens(video, found.num_clips, max_tokens) for video, found in readable)
        ),
    )


def _probe(job: Job, sample: Sequence[PlannedVideo]) -> list[tuple[PlannedVideo, Estimate]]:
    """Those of `sample` that can be decoded, each with its estimate."""
    outcomes = probe_videos(
        [planned.video for planned in sample],
        policy=make_policy(job.config),
        decode=job.config.decode,
        storage_options=job.config.input.storage_options,
    )
    pairs = zip(sample, outcomes, strict=True)
    return [(planned, found.estimate) for planned, found in pairs if isinstance(found, Probed)]


def _max_tokens_of_answers(planned: Plan, strategy: Strategy) -> dict[str, int]:
    """By question hash, the most tokens that the strategy lets one answer take."""
    return {
        # A text has at most as many tokens as bytes.
        question.hash: sum(budget.max_tokens(lambda text: len(text.encode())) for budget in strategy.budgets(question))
        for question in planned.questions
    }


def _max_generated_tokens(video: PlannedVideo, num_clips: int, max_tokens: Mapping[str, int]) -> int:
    num_done = Counter(question_hash for _, question_hash in video.done)
    return sum(
        max(0, num_clips - num_done[question_hash]) * max_tokens[question_hash]
        for question_hash in video.question_hashes
    )
