"""`framegate deepen`: thinks about rows that were let go, and completes them in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.deadline import read_deadline
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
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.progress import ProgressDisplay, duration
from framegate.jobs.run_end import EXIT_DEADLINE, EXIT_INCOMPLETE, end_of_deepening
from framegate.jobs.run_work import For, RecordFile, Until, make_row, say_end, show_work
from framegate.schemas.clock import now
from framegate.schemas.config.gate import GatedConfig
from framegate.schemas.counts import Counts
from framegate.schemas.escape import escape

if TYPE_CHECKING:
    from framegate.pipelines.deepen import NewThreshold
    from framegate.pipelines.driver.spending import Spending
    from framegate.pipelines.plan.deepening import Deepening
    from framegate.pipelines.reason.engines.protocol import EngineFactory
    from framegate.pipelines.results.deepenable import Chosen
    from framegate.schemas.job import Job
    from framegate.schemas.run import Deadline, RunSummary, Shard

NOTHING = Counts()

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


def deepen_job(
    job: Job,
    chosen: Chosen,
    *,
    threshold: NewThreshold,
    name: str,
    limit: int | None = None,
    retry_failed: bool = False,
    json_file: Path | None = None,
    engine_factory: EngineFactory | None = None,
    display: ProgressDisplay | None = None,
    verbose: bool = False,
    deadline: Deadline | None = None,
) -> int:
    """Deepen rows of a job, print what came of it, return the exit code. Raises FramegateError where it could not
    start. The arguments are those of `jobs.run.run_job`."""
    from framegate.pipelines import deepen
    from framegate.pipelines.results.deepenable import read_audited, read_deepenable

    again = f"run 'framegate deepen {name}' with the same options again to go on"
    told = RecordFile(json_file, command="deepen")
    display = display or ProgressDisplay(Console(stderr=True))
    display.price = display.price or partial(job.config.cost.describe_run, ray=job.config.ray)
    is_bounded = deadline is not None or (isinstance(gate := job.config.gate, GatedConfig) and gate.budget is not None)
    summary = show_work(
        lambda: deepen.deepen(
            job,
            partial(read_deepenable, job.config.output, chosen=chosen),
            threshold=threshold,
            audited=partial(read_audited, job.config.output, chosen=chosen),
            limit=limit,
            retry_failed=retry_failed,
            on_progress=display.update,
            on_phase=display.begin_phase,
            on_record=told.write,
            verbose=verbose,
            engine_factory=engine_factory,
            deadline=deadline,
            spending=_spending(job) if is_bounded else None,
        ),
        display,
        told,
        again=again,
    )
    return summary if isinstance(summary, int) else _tell_end(job, summary, display, told, again=again)


def think_after_run(
    job: Job,
    first: RunSummary,
    *,
    name: str,
    limit: int | None,
    shard: Shard | None,
    retry_failed: bool,
    told: RecordFile,
    engine_factory: EngineFactory | None,
    display: ProgressDisplay,
    verbose: bool,
    deadline: Deadline | None,
) -> int:
    """Take up what is deferred, after a run that has given all first answers, with what is left of its budget and its
    time. Prints what came of it, returns the exit code: 0 also where not all could be taken up."""
    from framegate.pipelines import deepen
    from framegate.pipelines.results.deepenable import DEFERRED_ROWS, count_deferred, read_deepenable

    if not count_deferred(job.config.output, first.config_id):
        return 0
    again = f"the next 'framegate run {name}' takes them up"
    summary = show_work(
        lambda: deepen.deepen(
            job,
            partial(read_deepenable, job.config.output, chosen=DEFERRED_ROWS),
            threshold="job",
            limit=limit,
            retry_failed=retry_failed,
            on_progress=display.update,
            on_phase=display.begin_phase,
            on_record=told.write,
            verbose=verbose,
            engine_factory=engine_factory,
            deadline=deadline,
            spending=_spending(job, shard=shard, spent=first.counts),
        ),
        display,
        told,
        again=again,
    )
    if isinstance(summary, int):
        return 0 if summary == EXIT_DEADLINE else summary
    return _tell_end(job, summary, display, told, again=again, is_of_run=True)


def _spending(job: Job, *, shard: Shard | None = None, spent: Counts = NOTHING) -> Spending:
    """`spent`: what of the budget is spent already."""
    from framegate.pipelines.certify.thinking_worth import read_worth
    from framegate.pipelines.driver.spending import Spending

    config = job.config
    return Spending(
        read_worth=partial(read_worth, config.output, config.gate.audit),
        shard=shard,
        num_tokens=spent.num_thinking_tokens,
        engine_seconds=spent.engine_seconds,
    )


def _tell_end(
    job: Job,
    summary: RunSummary,
    display: ProgressDisplay,
    told: RecordFile,
    *,
    again: str,
    is_of_run: bool = False,
) -> int:
    from framegate.pipelines.results.deepenable import count_deferred

    cost = job.config.cost.describe_run(summary.elapsed_seconds, job.config.ray)
    row = make_row(summary, cost)
    told.write(row)
    display.end(summary, row)
    names = ("answered", "failed", "left")
    print_table(
        make_console(),
        ("rows deepened", "failures", "thinking_tokens", "videos", *names, "decode_s", "engine_s"),
        [
            {
                "rows deepened": summary.counts.num_deepened,
                "failures": summary.counts.num_failures,
                "thinking_tokens": summary.counts.num_deepened_tokens,
                "videos": summary.num_videos_planned,
                **{name: row[f"num_videos_{name}"] for name in names},
                "decode_s": summary.counts.decode_seconds,
                "engine_s": summary.counts.engine_seconds,
            }
        ],
        title=f"deepening {summary.run_id}, config_id {summary.config_id}, {duration(summary.elapsed_seconds)}",
    )
    if cost is not None:
        say(f"cost: {cost}")
    for notice in summary.notices:
        say(f"note: {notice}")
    num_deferred = count_deferred(job.config.output, summary.config_id)
    end = end_of_deepening(summary, num_deferred=num_deferred, again=again, is_of_run=is_of_run)
    return say_end(display, end)


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
        console.print(f"{name:<26}{value:>18}  {meaning}", highlight=False, soft_wrap=True)
    for notice in planned.plan.notices:
        console.print(escape(f"note: {notice}"), highlight=False, markup=False, soft_wrap=True)


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
