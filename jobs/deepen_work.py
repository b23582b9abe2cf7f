"""How rows are deepened, by `framegate deepen` or by a run that takes up what it has deferred, and what is said."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from framegate.jobs.printing import make_console, print_table, say
from framegate.jobs.progress import ProgressDisplay, duration
from framegate.jobs.run_end import EXIT_DEADLINE, end_of_deepening
from framegate.jobs.run_work import RecordFile, make_row, say_end, show_work
from framegate.schemas.config.gate import GatePart
from framegate.schemas.counts import Counts

if TYPE_CHECKING:
    from framegate.pipelines.deepen import NewThreshold
    from framegate.pipelines.driver.spending import Spending
    from framegate.pipelines.reason.engines.protocol import EngineFactory
    from framegate.pipelines.results.deepenable import Chosen
    from framegate.schemas.job import Job
    from framegate.schemas.run import Deadline, RunSummary, Shard


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
    from framegate.pipelines.results.deepenable import read_audited

    display = display or ProgressDisplay(Console(stderr=True))
    display.price = display.price or partial(job.config.cost.describe_run, ray=job.config.ray)
    gate = job.config.gate
    is_bounded = deadline is not None or (isinstance(gate, GatePart) and gate.budget is not None)
    return _deepen(
        job,
        chosen,
        display,
        RecordFile(json_file, command="deepen"),
        again=f"run 'framegate deepen {name}' with the same options again to go on",
        is_of_run=False,
        threshold=threshold,
        audited=partial(read_audited, job.config.output, chosen=chosen),
        limit=limit,
        retry_failed=retry_failed,
        engine_factory=engine_factory,
        verbose=verbose,
        deadline=deadline,
        spending=_spending(job) if is_bounded else None,
    )


def think_after_run(
    job: Job,
    first: RunSummary,
    *,
    name: str,
    shard: Shard | None,
    told: RecordFile,
    display: ProgressDisplay,
    **how: Any,
) -> int:
    """Take up what is deferred, after a run that has given all first answers, with what is left of its budget and its
    time. Prints what came of it, returns the exit code: 0 also where not all could be taken up. `how`: what the run was
    told, as in `deepen_job`."""
    from framegate.pipelines.results.deepenable import DEFERRED_ROWS, count_deferred

    if not count_deferred(job.config.output, first.config_id):
        return 0
    return _deepen(
        job,
        DEFERRED_ROWS,
        display,
        told,
        again=f"the next 'framegate run {name}' takes them up",
        is_of_run=True,
        threshold="job",
        spending=_spending(job, shard=shard, spent=first.counts),
        **how,
    )


def _deepen(
    job: Job,
    chosen: Chosen,
    display: ProgressDisplay,
    told: RecordFile,
    *,
    again: str,
    is_of_run: bool,
    **how: Any,
) -> int:
    """`how`: more arguments of `pipelines.deepen.deepen`."""
    from framegate.pipelines import deepen
    from framegate.pipelines.results.deepenable import read_deepenable

    summary = show_work(
        lambda: deepen.deepen(
            job,
            partial(read_deepenable, job.config.output, chosen=chosen),
            on_progress=display.update,
            on_phase=display.begin_phase,
            on_record=told.write,
            **how,
        ),
        display,
        told,
        again=again,
    )
    if isinstance(summary, int):
        return 0 if is_of_run and summary == EXIT_DEADLINE else summary
    return _tell_end(job, summary, display, told, again=again, is_of_run=is_of_run)


def _spending(job: Job, *, shard: Shard | None = None, spent: Counts | None = None) -> Spending:
    """`spent`: what of the budget is spent already; None: nothing."""
    from framegate.pipelines.certify.thinking_worth import read_worth
    from framegate.pipelines.driver.spending import Spending

    config, spent = job.config, spent or Counts()
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
    is_of_run: bool,
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
