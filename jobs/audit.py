"""`framegate audit`: checks an output from storage alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.target import TargetName, find_target

if TYPE_CHECKING:
    from framegate.pipelines.audit.report import AuditReport

EXIT_FINDINGS = 1


def audit(
    target: TargetName,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Compare records with the listing; open no file that is as recorded.",
        ),
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Check that every row is there once and belongs there, and every file is whole. Changes nothing.

    Reads the whole output once, or with --quick the records and what waits for its seal. May be asked while a job
    runs, seals or erases.

    [bold]Exit codes[/bold]

      0  nothing is wrong

      1  something is: each finding is one sentence that says what to do

      2  could not start

    [bold]Examples[/bold]

      framegate audit job.yaml

      framegate audit s3://index/cameras --quick --json audit.json
    """
    from framegate.pipelines.audit.audit import audit as audit_output

    found = find_target(target)
    with logged_each_minute("auditing"):
        report = audit_output(found.output, is_quick=quick)
    write_json(json_file, "audit", _rows(report))
    _print(report, found.config.uri)
    if not report.is_clean:
        raise typer.Exit(EXIT_FINDINGS)


def _rows(report: AuditReport) -> list[dict[str, Any]]:
    from framegate.pipelines.audit.report import CHECKS

    return [
        {
            "check": check.name,
            "holds": CHECKS[check.name],
            "num_checked": check.num_checked,
            "num_findings": check.num_findings,
            "findings": check.findings,
            "notes": check.notes,
        }
        for check in report.checks
    ]


def _print(report: AuditReport, uri: str) -> None:
    from framegate.pipelines.audit.report import CHECKS

    rows = [
        {"check": check.name, "checked": f"{check.num_checked:,}", "findings": check.num_findings, "holds": meaning}
        for check, meaning in zip(report.checks, CHECKS.values(), strict=True)
    ]
    print_table(make_console(), ("check", "checked", "findings", "holds"), rows, title=uri)
    for check in report.checks:
        for sentence in check.findings:
            say(f"{check.name}: {sentence}")
        if check.num_findings > len(check.findings):
            say(f"{check.name}: {check.num_findings - len(check.findings):,} more like these")
    for check in report.checks:
        for sentence in check.notes:
            say(f"note: {sentence}")
    say("nothing is wrong" if report.is_clean else f"{report.num_findings:,} findings")
