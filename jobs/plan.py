"""`framegate plan`: what a run would do; changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from framegate.jobs.options import JobFile, JsonFile, Limit, RetryFailed
from framegate.jobs.printing import make_console, write_json
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.pipelines.reason.strategies.protocol import Strategy
from framegate.schemas.job import Job, load_job
from framegate.schemas.run import Plan
from framegate.schemas.unit import PlannedVideo

if TYPE_CHECKING:
    from framegate.pipelines.decode.estimate import Estimate

# Headers are read from storage: 24 of them, spread over the videos, tell enough for an estimate in seconds.
MAX_PROBED = 24

_MEANINGS = {
    "config_id": "what the answers will be filed under",
    "num_videos": "videos that the input names",
    "num_skipped": "of them without work left: complete, erased, or failed and not to be tried again now",
    "num_settled": "of those, failed and not to be tried again now (run --retry-failed tries them)",
    "num_erased": "of those, erased on request",
    "num_planned": "of them to be run now",
    "num_questions": "questions in the bank",
    "num_probed": "videos whose header was read for what follows",
    "num_unreadable": "of them no video that can be decoded",
    "estimated_clips": "clips to decode",
    "estimated_rows": "answers to give, one per clip and question",
    "estimated_video_tokens": "tokens to read, once per clip whatever is asked of it",
    "max_generated_tokens": "tokens to write at most, if every answer were thought about to the end",
}


def plan(job: JobFile, limit: Limit = None, retry_failed: RetryFailed = False, json_file: JsonFile = None) -> None:
    """What `run` would do: videos, clips, questions and tokens. Changes nothing.

    Clips and tokens are estimated from the headers of a few videos. Exit code 2 says in one sentence why the job
    could not start: a wrong key, a missing bucket, an unknown model path.

    [bold]Examples[/bold]

      framegate plan job.yaml

      framegate plan job.yaml --limit 100 --json plan.json
    """
    from framegate.pipelines import flow  # knows every room; not needed to print help

    loaded = load_job(job)
    strategy = make_strategy(loaded.config.gate)
    planned = flow.plan(loaded, limit=limit, retry_failed=retry_failed, strategy=strategy)
    row = describe(loaded, planned, strategy)
    write_json(json_file, "plan", [row])
    console = make_console()
    for name, meaning in _MEANINGS.items():
        value = row[name] if name == "config_id" else f"{row[name]:,}"
        console.print(f"{name:<24}{value:>18}  {meaning}", highlight=False, soft_wrap=True)


def describe(job: Job, planned: Plan, strategy: Strategy) -> dict[str, Any]:
    """The plan as one row, with what can be foreseen of clips and tokens."""
    num_planned = planned.videos.num_rows
    step = max(1, num_planned // MAX_PROBED)
    sample = list(
        PlannedVideo.from_table(planned.videos.take(pa.array([*range(0, num_planned, step)][:MAX_PROBED], pa.int64())))
    )
    estimates = [found for found in _probe_all(job, sample) if found is not None]
    max_tokens = {
        # A text has at most as many tokens as bytes.
        question.hash: sum(budget.max_tokens(lambda text: len(text.encode())) for budget in strategy.budgets(question))
        for question in planned.questions
    }
    # What was not probed is taken to be like what was; an unreadable video counts as one without clips.
    scale = num_planned / len(sample) if sample else 0.0
    clips = round(scale * sum(found.num_clips for _, found in estimates))
    rows = round(
        scale * sum(max(0, found.num_clips * len(work.question_hashes) - len(work.done)) for work, found in estimates)
    )
    return {
        "config_id": planned.config_id,
        "num_videos": planned.num_videos,
        "num_skipped": planned.num_skipped,
        "num_settled": planned.num_settled,
        "num_erased": planned.num_erased,
        "num_planned": num_planned,
        "num_questions": len(planned.questions),
        "num_probed": len(sample),
        "num_unreadable": len(sample) - len(estimates),
        "estimated_clips": clips,
        "estimated_rows": rows,
        "estimated_video_tokens": round(scale * sum(found.num_video_tokens for _, found in estimates)),
        "max_generated_tokens": round(
            scale * sum(_max_generated_tokens(work, found.num_clips, max_tokens) for work, found in estimates)
        ),
    }


def _max_generated_tokens(work: PlannedVideo, num_clips: int, max_tokens: Mapping[str, int]) -> int:
    num_done = Counter(question_hash for _, question_hash in work.done)
    return sum(
        max(0, num_clips - num_done[question_hash]) * max_tokens[question_hash]
        for question_hash in work.question_hashes
    )


def _probe_all(job: Job, sample: Sequence[PlannedVideo]) -> list[tuple[PlannedVideo, Estimate] | None]:
    from framegate.pipelines.decode.estimate import Probed, probe_videos
    from framegate.pipelines.plan.plan import make_policy

    config = job.config
    outcomes = probe_videos(
        [work.video for work in sample],
        policy=make_policy(config),
        decode=config.decode,
        storage_options=config.input.storage_options,
    )
    return [
        (work, found.estimate) if isinstance(found, Probed) else None
        for work, found in zip(sample, outcomes, strict=True)
    ]
