"""`framegate deepen`: thinks about rows that were let go, and completes them in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.deadline import read_deadline
from framegate.jobs.deepen_work import deepen_job
from framegate.jobs.log import (
    Log,
    LogFormat,
    LogFormatOption,
    Verbose,
    libraries_logged,
    logged_each_minute,
    ray_ended,
    refusals_logged,
)
from framegate.jobs.options import JobFile, JsonFile, Limit, RetryFailed, takes_options
from framegate.jobs.printing import make_console, print_line, write_json
from framegate.jobs.progress import ProgressDisplay
from framegate.jobs.run_end import EXIT_INCOMPLETE
from framegate.jobs.run_work import For, Until
from framegate.schemas.clock import now

if TYPE_CHECKING:
    from framegate.pipelines.deepen import NewThreshold
    from framegate.pipelines.plan.deepening import Deepening
    from framegate.pipelines.results.deepenable import Chosen
    from framegate.schemas.job import Job

_MEANINGS = {
    "config_id": "whose rows they are",
    "num_rows": "rows to be thought about",
    "num_clips": "clips that they are of, each decoded once more",
    "num_videos": "videos that these are in",
    "num_without_tokens": "of the rows, of before tokens were kept: asked from the start",
    "num_never": "rows that are left out: their question is never thought about",
    "num_failed": "rows that are left out: they failed when they were deepened before (--retry-failed)",
    "num_gone": "rows that are left out: their video is gone, changed, or named by the input no more",
    "num_audited": "rows of the audit sample beside: they have thought, and their second answer comes to count",
    "expected_thinking_tokens": "tokens to write, as thoughts about these questions took so far",
    "max_thinking_tokens": "tokens to write at most",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `framegate deepen` is told."""

    job: JobFile
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0.0, max=1.0, metavar="T", help="Rows let go below it.", show_default="the job's"
        ),
    ] = None
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="SQL", help="Rows of the view answers for which it holds.", show_default=False),
    ] = None
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", metavar="ID", help="Rows of this question; may be repeated.", show_default=False),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and change nothing.")] = False
    limit: Limit = None
    retry_failed: RetryFailed = False
    until: Until = None
    span: For = None
    json_file: JsonFile = None
    log_format: LogFormatOption = LogFormat.text
    verbose: Verbose = False


@takes_options
def deepen_command(asked: Asked) -> None:
    """Think about answers that were let go, as a higher threshold would have. Each row is completed in place.

    A row keeps the tokens of its first answer. The model gets its prompt and these tokens, and goes on thinking from
    there: nothing is asked twice, and what comes is what a run with that threshold would have given. Decoding and
    reading the clip are paid for a second time.

    --threshold takes the rows that went with a confidence below it, and those that a budget deferred. --where and
    --question choose rows that did not think, whatever their confidence; together, each narrows. Without any of them
    the threshold is the job's own: raise gate.threshold, deepen, and the output is as if it had been that high.

    A row has its new values from one moment to the next, once the run seals: a plain glob shows it as before or as
    after. Killed or stopped anywhere, the same command goes on; where all is done it finds nothing left. Rows of
    videos that are gone or changed, and of questions with think: never, are counted and stay as they are. What fails is
    a row in failures, and its answer stays.

    Lowering a threshold needs no model: ask answers_at(threshold) in framegate query.

    gate.budget bounds a deepening, too. Under it, and under --until and --for, rows come in the order in which thinking
    is expected to change most per token. A budget that is spent is no error: the exit code is 0, and what is left is
    taken up the next time.

    [bold]Exit codes[/bold] are those of framegate run.

    [bold]Examples[/bold]

      framegate deepen job.yaml --threshold 0.99 --dry-run

      framegate deepen job.yaml --threshold 0.99 --until 06:00

      framegate deepen job.yaml --where "input_camera = 'north' AND answer = 'yes'"

      framegate deepen job.yaml --question people --question doors --limit 100
    """
    from framegate.pipelines.results.deepenable import Chosen, check_chosen
    from framegate.schemas.job import load_job

    log = Log(asked.log_format)
    with libraries_logged(log, is_verbose=asked.verbose), refusals_logged(log), ray_ended(log) as ending:
        loaded = load_job(asked.job)
        deadline = read_deadline(asked.until, asked.span, timezone=loaded.config.run.timezone, now=now())
        chosen = Chosen(where=asked.where, questions=tuple(asked.questions or ()))
        check_chosen(chosen)
        if asked.dry_run:
            _tell_plan(loaded, chosen, asked)
            return
        code = deepen_job(
            loaded,
            chosen,
            threshold=_threshold(asked),
            name=str(asked.job),
            limit=asked.limit,
            retry_failed=asked.retry_failed,
            json_file=asked.json_file,
            display=ProgressDisplay(Console(stderr=True), log),
            verbose=asked.verbose,
            deadline=deadline,
        )
        ending.keep = asked.verbose or code == EXIT_INCOMPLETE
    raise typer.Exit(code)


def _threshold(asked: Asked) -> NewThreshold:
    """The one that is asked for; the job's own where nothing is chosen otherwise."""
    is_chosen = asked.threshold is not None or asked.where is not None or asked.questions
    return asked.threshold if is_chosen else "job"


def _tell_plan(job: Job, chosen: Chosen, asked: Asked) -> None:
    from framegate.pipelines import deepen
    from framegate.pipelines.results.deepenable import read_audited, read_deepenable, read_mean_tokens

    with logged_each_minute("planning"):
        planned = deepen.plan(
            job,
            partial(read_deepenable, job.config.output, chosen=chosen),
            threshold=_threshold(asked),
            audited=partial(read_audited, job.config.output, chosen=chosen),
            limit=asked.limit,
            retry_failed=asked.retry_failed,
        )
        means = read_mean_tokens(job.config.output, planned.plan.config_id)
    row = _plan_row(job, planned, means)
    write_json(asked.json_file, "deepen --dry-run", [row])
    console = make_console()
    for name, meaning in _MEANINGS.items():
        value = row[name] if name == "config_id" else "not known" if row[name] is None else f"{row[name]:,}"
        print_line(console, f"{name:<26}{value:>18}  {meaning}")
    for notice in planned.plan.notices:
        print_line(console, f"note: {notice}")


def _plan_row(job: Job, planned: Deepening, means: Mapping[str, float]) -> dict[str, Any]:
    """A question that was never thought about takes as many tokens as the others do."""
    overall = sum(means.values()) / len(means) if means else None
    expected = None
    if overall is not None:
        expected = round(sum(number * means.get(hash, overall) for hash, number in planned.by_question.items()))
    return {
        "config_id": planned.plan.config_id,
        "num_rows": planned.num_rows,
        "num_clips": planned.num_clips,
        "num_videos": planned.plan.videos.num_rows,
        "num_without_tokens": planned.num_without_tokens,
        **{f"num_{reason}": planned.left_out.get(reason, 0) for reason in ("never", "failed", "gone")},
        "num_audited": planned.num_audited,
        "expected_thinking_tokens": expected,
        "max_thinking_tokens": planned.num_rows * job.config.gate.max_thinking_tokens,
    }
