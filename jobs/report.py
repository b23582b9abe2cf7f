"""`framegate report`: one page about a night, for who answers for it. Also at the end of a run."""

from __future__ import annotations

import os
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import say, write_json
from framegate.jobs.target import Target, TargetName, find_target
from framegate.schemas.errors import ConfigError, FramegateError, StorageError
from framegate.schemas.escape import as_file_name

if TYPE_CHECKING:
    from framegate.jobs.log import Log
    from framegate.pipelines.report.build import Request
    from framegate.pipelines.report.figures import Report
    from framegate.schemas.job import Job
    from framegate.schemas.run import Deadline, RunSummary

RunId = str | None


def report_command(
    target: TargetName,
    run_id: Annotated[
        RunId, typer.Option("--run", metavar="RUN_ID", help="The night of that run.", show_default="the last night")
    ] = None,
    compare: Annotated[
        RunId,
        typer.Option(
            "--compare", metavar="RUN_ID", help="An earlier night to compare with.", show_default="the night before"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="Where to write the page.", show_default="report-RUN_ID.html"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The manifest's column that tells cameras apart.", show_default=False),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Of all times: Europe/Berlin.", show_default="the output's"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Write one page about a night: did it end in time, what did it cost and what did the gate save, is it complete,
    is it still right, what needs me.

    The page is one file of HTML that loads nothing. With a job file it has figures in money (cost.gpu_hour) and links
    to your player (report.link). All figures come from the stored rows and the records of runs; --json has the same
    ones. Changes nothing in the output. A job with report.on_end writes one as each run ends, into reports/ of the
    output.

    [bold]Examples[/bold]

      framegate report job.yaml

      framegate report job.yaml --run 20261129T220003Z-e7ce85 --out night.html --json night.json

      framegate report job.yaml --compare 20261122T220001Z-0a51c9

      framegate report s3://index/cameras --by dock --time-zone Europe/Berlin
    """
    from framegate.pipelines.report.build import build_report
    from framegate.pipelines.report.page import render_page

    found = find_target(target)
    found.check()
    request = _request_of(found, target, run_id=run_id, compare=compare, by=by, time_zone=_checked_zone(time_zone))
    made = build_report(found.config, request)
    path = out or Path(f"report-{as_file_name(made.ended.run_ids[-1])}.html")
    write_page(path, render_page(made))
    write_json(json_file, "report", [figures_of(made)])
    for verdict in made.verdicts:
        say(f"{verdict.question} {verdict.sentence}")
    say(f"the report is {path}")


def report_at_end(job: Job, name: str, summary: RunSummary, log: Log, deadline: Deadline | None = None) -> None:
    """Stores the report of a run that has come to its end, where the job wants one.

    None after a signal, whose sender waits, nor once the deadline has passed. Whatever fails here is a warning: the
    run's rows and its record are stored, and its exit code is about those.
    """
    from framegate.schemas.clock import now

    if not job.config.report.on_end:
        return
    again = f"framegate report {name} --run {summary.run_id}"
    if summary.stop_code == "signal" or (deadline is not None and now() >= deadline.at):
        say(f"no report, since the run had to end; '{again}' makes it")
        return
    try:
        from framegate.pipelines.report.stored import store_report

        uri = store_report(job.config.output, request_for(job, name, run_id=summary.run_id), summary.run_id)
    except FramegateError as error:
        log.say(f"warning: there is no report: {error}; '{again}' makes it")
    except Exception:
        log.say(f"warning: there is no report, by a defect of this program: {traceback.format_exc()}")
    else:
        say(f"report: {uri}")


def request_for(job: Job, name: str, *, run_id: str | None = None) -> Request:
    """What a report of this job is about. `name` is the job file."""
    from framegate.pipelines.report.build import Request

    config = job.config
    return Request(
        job=Path(name).name,
        run_id=run_id,
        by=config.report.by,
        link=config.report.link,
        cost=config.cost,
        ray=config.ray,
        max_attempts=config.failures.max_attempts,
    )


def write_page(path: Path, page: str) -> None:
    """A reader meets the page of before or the new one, whole. Raises StorageError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def figures_of(report: Report) -> dict[str, object]:
    """The report for `--json`."""
    return asdict(report)


def _request_of(
    found: Target, name: str, *, run_id: RunId, compare: RunId, by: str | None, time_zone: str | None
) -> Request:
    from dataclasses import replace

    from framegate.pipelines.report.build import Request
    from framegate.schemas.job import load_job

    request = request_for(load_job(Path(name)), name) if found.is_job else Request()
    return replace(request, run_id=run_id, compare=compare, by=by or request.by, time_zone=time_zone)


def _checked_zone(name: str | None) -> str | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name is not None:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                f"--time-zone {name} is no time zone that this machine knows; give an IANA name such as Europe/Berlin"
                " or UTC"
            ) from error
    return name
