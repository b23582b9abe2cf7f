"""`framegate audit`: checks an output from storage alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.log import logged_each_minute
from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.target import TargetName, find_target
from framegate.schemas.errors import ConfigError

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
    verify: Annotated[
        list[Path] | None,
        typer.Option(
            "--verify", metavar="PUBLIC_KEY", help="Compare with what was signed; may be given for several keys."
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign", metavar="KEYFILE", help="Sign the output with this Ed25519 key, where nothing is wrong."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check that every row is there once and belongs there, and every file is whole. Changes nothing; --sign adds a
    signature.

    Reads the whole output once, or with --quick the records and what waits for its seal. May be asked while a job
    runs, seals or erases.

    [bold]Exit codes[/bold]

      0  nothing is wrong

      1  something is: each finding is one sentence that says what to do

      2  could not start

    [bold]Examples[/bold]

      framegate audit job.yaml

      framegate audit s3://index/cameras --quick --json audit.json

      framegate audit s3://index/cameras --sign sign.pem

      framegate audit s3://index/cameras --verify sign.pub
    """
    from framegate.pipelines.audit.audit import audit as audit_output
    from framegate.pipelines.audit.signed import Signer, read_keys

    if quick and sign is not None:
        raise ConfigError("--sign needs the whole audit, as it vouches for every row; leave out --quick")
    found = find_target(target)
    keys = read_keys(verify or [])
    signer = None if sign is None else Signer(found.output, sign)
    if signer is not None:
        signer.read()
        keys += [signer.public_key] if signer.has_signatures else []
    with logged_each_minute("auditing"):
        report = audit_output(found.output, is_quick=quick, keys=keys)
    write_json(json_file, "audit", _rows(report))
    _print(report, found.config.uri)
    if not report.is_clean:
        if signer is not None:
            say("nothing was signed")
        raise typer.Exit(EXIT_FINDINGS)
    if signer is not None:
        say(f"signed: {signer.sign()}")


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
