"""`framegate plan`: shows what a run would do, and changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JobFile, JsonFile, Limit, RetryFailed
from framegate.jobs.printing import make_console, print_line, write_json
from framegate.jobs.progress import duration

if TYPE_CHECKING:
    from framegate.pipelines.plan.price import Price
    from framegate.schemas.job import Job

_MEANINGS = {
    "config_id": "what the answers will be filed under",
    "num_videos": "videos that the input names",
    "num_skipped": "of them without work left: complete, erased, or failed and not to be tried again now",
    "num_settled": "of those, failed and not to be tried again now (run --retry-failed tries them)",
    "num_erased": "of those, erased on request",
    "num_gone": "of those, gone from storage since they were seen; their answers stay",
    "num_planned": "of them to be run now",
    "num_questions": "questions in the bank",
    "num_probed": "videos whose header was read for what follows",
    "num_unreadable": "of them no video that can be decoded",
    "estimated_clips": "clips to decode",
    "estimated_rows": "answers to give, one per clip and question",
    "estimated_video_tokens": "tokens to read, once per clip whatever is asked of it",
    "max_generated_tokens": "tokens to write at most: every answer as long, and as long thought about, as may be",
}


def plan(job: JobFile, limit: Limit = None, retry_failed: RetryFailed = False, json_file: JsonFile = None) -> None:
    """What `run` would do: videos, clips, questions and tokens. Changes nothing.

    Clips and tokens are estimated from the headers of a few videos. Exit code 2 says in one sentence why the job
    could not start: a wrong key, a missing bucket, an unknown model path.

    [bold]Examples[/bold]

      framegate plan job.yaml

      framegate plan job.yaml --limit 100 --json plan.json
    """
    from framegate.pipelines import flow
    from framegate.pipelines.plan.forecast import forecast
    from framegate.schemas.job import load_job

    loaded = load_job(job)
    with logged_each_minute("planning"):
        planned = flow.plan(loaded, limit=limit, retry_failed=retry_failed)
    expected = forecast(loaded, planned)
    price = _price(loaded, planned.config_id, expected.estimated_rows)
    row = {
        "config_id": planned.config_id,
        "num_videos": planned.num_videos,
        "num_skipped": planned.num_skipped,
        "num_settled": planned.num_settled,
        "num_erased": planned.num_erased,
        "num_gone": planned.num_gone,
        "num_planned": planned.videos.num_rows,
        "num_questions": len(planned.questions),
        **asdict(expected),
        "estimated_price": None if price is None else asdict(price),
        "notices": list(planned.notices),
        "first_refused": dict(planned.first_refused),
    }
    write_json(json_file, "plan", [row])
    console = make_console()
    for name, meaning in _MEANINGS.items():
        value = row[name] if name == "config_id" else f"{row[name]:,}"
        print_line(console, f"{name:<24}{value:>18}  {meaning}")
    if price is not None:
        print_line(console, _say(price))
    firsts = [f"the first video with the reason {reason}: {uri}" for reason, uri in planned.first_refused.items()]
    for notice in (*planned.notices, *firsts):
        print_line(console, f"note: {notice}")


def _price(job: Job, config_id: str, num_rows: int) -> Price | None:
    """Of a plan with work left; None where no run tells."""
    from framegate.pipelines.commit.output import Output
    from framegate.pipelines.commit.runs import read_runs
    from framegate.pipelines.plan.price import estimate_price

    runs = read_runs(Output.open(job.config.output)).values() if num_rows else ()
    return estimate_price(runs, config_id, num_rows, job.config.cost, job.config.ray)


def _say(price: Price) -> str:
    hours = price.hours
    said = f"estimated time: {duration(3600 * hours.value)} ({duration(3600 * hours.low)} to"
    said += f" {duration(3600 * hours.high)})"
    if price.cost is not None:
        cost = price.cost
        said += f", cost: {cost.value:,.2f} {price.currency} ({cost.low:,.2f} to {cost.high:,.2f})"
    return f"{said}, as fast as the last {price.num_runs} runs" if price.num_runs > 1 else f"{said}, by the last run"
