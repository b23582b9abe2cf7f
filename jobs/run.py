"""`framegate run`: does a job, shows its progress, and prints a summary at the end."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.deadline import read_deadline
from framegate.jobs.deepen_work import think_after_run
from framegate.jobs.drift import FailOn, FailOnOption, check_fail_on, end_by_drift, say_found_drift
from framegate.jobs.log import Log, LogFormat, LogFormatOption, Verbose, libraries_logged, ray_ended, refusals_logged
from framegate.jobs.options import JobFile, JsonFile, Limit, RetryFailed, ShardName, parse_shard
from framegate.jobs.printing import make_console, print_table, say
from framegate.jobs.progress import ProgressDisplay, duration
from framegate.jobs.report import report_at_end
from framegate.jobs.run_end import EXIT_INCOMPLETE, RunEnd, end_of
from framegate.jobs.run_work import For, RecordFile, Until, make_row, say_end, show_work
from framegate.schemas.clock import now
from framegate.schemas.run import Deadline, RunSummary, Shard

if TYPE_CHECKING:
    from framegate.pipelines.reason.engines.protocol import EngineFactory
    from framegate.schemas.job import Job


def run(
    job: JobFile,
    limit: Limit = None,
    shard: ShardName = None,
    retry_failed: RetryFailed = False,
    until: Until = None,
    span: For = None,
    json_file: JsonFile = None,
    log_format: LogFormatOption = LogFormat.text,
    verbose: Verbose = False,
    accept_new_config: Annotated[
        bool,
        typer.Option("--accept-new-config", help="Begin a config_id that is new in an output which has others."),
    ] = False,
    fail_on: FailOnOption = None,
) -> None:
    """Do a job: ask every question of every clip and keep the answers. What is done already is not done again.

    Ctrl-C, SIGTERM and SIGHUP stop it: it asks no more, seals what is committed and leaves its record, within
    run.grace_seconds; a second one ends it at once. The same command goes on from there, as it does after a crash or a
    kill. --until and --for end it in time, seal included.

    Where another run is at work on the same output and config_id, run.second says what becomes of this one: it is
    refused, waits, or joins it. --shard 3/8 does the third of eight parts of the work: the runs of one array do not
    refuse each other.

    What failed for a reason that may pass is tried again by later runs, after a pause that doubles, up to
    failures.max_attempts times.

    Where the job has come to mean another config_id than those of its output, every video would be asked anew: that is
    refused, with what differs, until --accept-new-config says that it is meant.

    Under gate.budget, --until and --for only rows so unsure think that what is left lasts for a first answer to every
    row. The others that were to think are deferred, and taken up at the end, those first whose answers thinking is
    expected to change most, until the budget is spent or the deadline near. The rest stays deferred, with its first
    answers, and the next run takes it up.

    On a terminal one line shows how far it is. Else standard error has a line for each phase and one a minute, with the
    time, the run and its config_id; standard output has the summary alone. What Ray's workers log is kept where the run
    failed or a worker died, and with -v.

    [bold]Exit codes[/bold]

      0  done; a video that cannot be decoded is a row in failures, not an error

      1  broke off, lost something, stopped because too much failed for one reason, or too many answers could not be
      read: what was committed is kept

      2  could not start: nothing was done, the message says what to change

      3  the deadline came, or gate.budget was spent, before each video had its first answers: run it again to go on

      4  another run is at work, and run.second is refuse: nothing was done

      5  --fail-on drift: all is done, and the night has drifted from those before it

      129, 130, 143  stopped by SIGHUP, SIGINT (Ctrl-C), SIGTERM: run it again to go on

    [bold]Examples[/bold]

      framegate run job.yaml

      framegate run job.yaml --limit 10

      framegate run job.yaml --retry-failed

      framegate run job.yaml --shard 3/8

      framegate run job.yaml --until 06:00
    """
    from framegate.schemas.job import load_job

    log = Log(log_format)
    with libraries_logged(log, is_verbose=verbose), refusals_logged(log), ray_ended(log) as ending:
        loaded = load_job(job)
        code = run_job(
            loaded,
            name=str(job),
            limit=limit,
            shard=parse_shard(shard),
            retry_failed=retry_failed,
            json_file=json_file,
            display=ProgressDisplay(Console(stderr=True), log),
            verbose=verbose,
            deadline=read_deadline(until, span, timezone=loaded.config.run.timezone, now=now()),
            accept_new_config=accept_new_config,
            fail_on=fail_on or (),
        )
        ending.keep = verbose or code == EXIT_INCOMPLETE
    raise typer.Exit(code)


def run_job(
    job: Job,
    *,
    name: str,
    limit: int | None = None,
    shard: Shard | None = None,
    retry_failed: bool = False,
    json_file: Path | None = None,
    engine_factory: EngineFactory | None = None,
    display: ProgressDisplay | None = None,
    verbose: bool = False,
    deadline: Deadline | None = None,
    accept_new_config: bool = False,
    fail_on: Collection[FailOn] = (),
) -> int:
    """Run a job, print its summary, return the exit code. Raises FramegateError where the run could not start.

    `name` is the job file, named in the sentence that says how to go on. `engine_factory` replaces the engine that the
    job names, `display` what shows its progress. `verbose` shows what Ray logs. `deadline` is when the run has to be
    over. `fail_on` is what ends a run otherwise that would end with 0.
    """
    from framegate.pipelines import flow

    check_fail_on(fail_on, job.config.drift)
    console = make_console()
    again = f"run 'framegate run {name}' again to go on"
    told = RecordFile(json_file)
    display = display or ProgressDisplay(Console(stderr=True))
    display.price = display.price or partial(job.config.cost.describe_run, ray=job.config.ray)
    summary = show_work(
        lambda: flow.run(
            job,
            limit=limit,
            shard=shard,
            retry_failed=retry_failed,
            on_progress=display.update,
            on_phase=display.begin_phase,
            on_record=told.write,
            verbose=verbose,
            accept_new_config=accept_new_config,
            engine_factory=engine_factory,
            deadline=deadline,
        ),
        display,
        told,
        again=again,
    )
    if isinstance(summary, int):
        return summary
    cost = job.config.cost.describe_run(summary.elapsed_seconds, job.config.ray)
    row = make_row(summary, cost)
    told.write(row)
    display.end(summary, row)
    _print_summary(console, job, summary, row)
    if cost is not None:
        say(f"cost: {cost}")
    for notice in summary.notices:
        say(f"note: {notice}")
    if summary.num_lost_races:
        say(f"{summary.num_lost_races:,} units were committed by another run of this job first; its rows stay")
    say_found_drift(summary, is_asked=FailOn.drift in fail_on)
    code = say_end(display, end_of(summary, max_unparsed_share=job.config.failures.stop_unparsed_share, again=again))
    if summary.defers and code == 0:
        code = think_after_run(
            job,
            summary,
            name=name,
            limit=limit,
            shard=shard,
            retry_failed=retry_failed,
            told=told.another(),
            engine_factory=engine_factory,
            display=display.renewed(),
            verbose=verbose,
            deadline=deadline,
        )
    report_at_end(job, name, summary, display.log, deadline)
    return say_end(display, end_by_drift(RunEnd(exit_code=code), summary, fail_on))


def _print_summary(console: Console, job: Job, summary: RunSummary, row: dict[str, Any]) -> None:
    names = ("answered", "failed", "skipped", "gone", "left")
    print_table(
        console,
        ("videos", *names),
        [{"videos": summary.num_videos_planned, **{name: row[f"num_videos_{name}"] for name in names}}],
        title=f"run {summary.run_id}, config_id {summary.config_id}, {duration(summary.elapsed_seconds)}",
    )
    counts = summary.counts
    print_table(
        console,
        (
            "clips",
            "answers",
            "unparsed",
            "failures",
            "think_rate",
            "answer_tokens",
            "thinking_tokens",
            "decode_s",
            "engine_s",
        ),
        [
            {
                "clips": counts.num_clips,
                "answers": counts.num_answers,
                "unparsed": counts.num_unparsed,
                "failures": counts.num_failures,
                "think_rate": counts.think_rate,
                "answer_tokens": counts.num_answer_tokens,
                "thinking_tokens": counts.num_thinking_tokens,
                "decode_s": counts.decode_seconds,
                "engine_s": counts.engine_seconds,
            }
        ],
    )
    if counts.num_failures:
        from framegate.pipelines.results.status import count_failures_of_run

        reasons = count_failures_of_run(job.config.output, summary.run_id)
        print_table(console, reasons.column_names, reasons.to_pylist(), title="failures")
    say(f"answers: {job.config.output.uri}/results (ask them with framegate query)")
