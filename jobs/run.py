"""`framegate run`: does a job, shows its progress, and prints a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.deadline import read_deadline
from framegate.jobs.log import Log, LogFormat, LogFormatOption, Verbose, libraries_logged, ray_ended, refusals_logged
from framegate.jobs.options import JobFile, JsonFile, Limit, RetryFailed, ShardName, parse_shard
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.progress import ProgressDisplay, duration
from framegate.jobs.report import report_at_end
from framegate.jobs.run_end import EXIT_INCOMPLETE, RunEnd, end_of, end_without_plan
from framegate.schemas.clock import now
from framegate.schemas.errors import FramegateError, RunStopped
from framegate.schemas.run import Deadline, RunSummary, Shard

if TYPE_CHECKING:
    from framegate.pipelines.reason.engines.protocol import EngineFactory
    from framegate.schemas.config import Cost
    from framegate.schemas.job import Job

Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Be over by then: 06:00, in run.timezone.", show_default=False),
]
For = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help="Be over after so long: 4h, 90m.", show_default=False)
]


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

    On a terminal one line shows how far it is. Else standard error has a line for each phase and one a minute, with the
    time, the run and its config_id; standard output has the summary alone. What Ray's workers log is kept where the run
    failed or a worker died, and with -v.

    [bold]Exit codes[/bold]

      0  done; a video that cannot be decoded is a row in failures, not an error

      1  broke off, lost something, stopped because too much failed for one reason, or too many answers could not be
      read: what was committed is kept

      2  could not start: nothing was done, the message says what to change

      3  the deadline came before all was done: run it again to go on

      4  another run is at work, and run.second is refuse: nothing was done

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
) -> int:
    """Run a job, print its summary, return the exit code. Raises FramegateError where the run could not start.

    `name` is the job file, named in the sentence that says how to go on. `engine_factory` replaces the engine that the
    job names, `display` what shows its progress. `verbose` shows what Ray logs. `deadline` is when the run has to be
    over.
    """
    from framegate.pipelines import flow

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
    report_at_end(job, name, summary, display.log, deadline)
    return say_end(display, end_of(summary, max_unparsed_share=job.config.failures.stop_unparsed_share, again=again))


def show_work(
    work: Callable[[], RunSummary], display: ProgressDisplay, told: RecordFile, *, again: str
) -> RunSummary | int:
    """What `work` comes to while its progress is shown; the exit code where it was stopped or broke off.

    `again` says how to go on. Raises FramegateError where it could not start.
    """
    with display:
        try:
            return work()
        except RunStopped as stopped:
            return say_end(display, end_without_plan(stopped, again=again))
        except FramegateError as error:
            told.write_failure(error)
            if not display.has_begun:
                raise
            display.log.say(f"{error}; {again}", is_error=True)
            return EXIT_INCOMPLETE


def say_end(display: ProgressDisplay, end: RunEnd) -> int:
    """Says how a run ended, where there is something to say; its exit code."""
    if end.is_error:
        display.log.say(end.sentence, is_error=True)
    elif end.sentence:
        say(end.sentence)
    return end.exit_code


class RecordFile:
    """The file of `run --json`: the run's record as it is now, with its counts beside the other figures."""

    def __init__(self, path: Path | None, *, command: str = "run") -> None:
        self._path = path
        self._command = command
        self._row: dict[str, Any] = {}

    def write(self, fields: Mapping[str, Any]) -> None:
        """Replaces the file. What `fields` do not tell stays as it was. Raises StorageError."""
        self._row |= {name: value for name, value in fields.items() if name != "counts"} | (fields.get("counts") or {})
        write_json(self._path, self._command, [self._row])

    def write_failure(self, error: FramegateError) -> None:
        """The run could not even store a record; where it could, the record tells of the failure already."""
        if self._row.get("state") != "failed":
            self.write({"state": "failed", "stop_code": "error", "stop_reason": str(error)})


def make_row(summary: RunSummary, cost: Cost | None) -> dict[str, Any]:
    """All that is known of a run that ended, as one row."""
    values = asdict(summary)
    counts = values.pop("counts")
    values.pop("stop")
    return {
        **values,
        "stop_code": summary.stop_code,
        "stop_reason": summary.stop_reason,
        **counts,
        "think_rate": summary.counts.think_rate,
        "is_complete": summary.is_complete,
        "is_stopped": summary.is_stopped,
        "cost": None if cost is None else round(cost.amount, 4),
        "currency": None if cost is None else cost.currency,
    }


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
