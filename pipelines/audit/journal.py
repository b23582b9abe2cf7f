"""Unsealed units, deepened ones among them: each is whole, has a known name and holds rows of the video in its name.
Open attempts are counted.

A unit may be sealed while the audit reads the journal, so that a missing one is not a finding.
"""

from __future__ import annotations

import re

from framegate.pipelines.audit.intake import Intake
from framegate.pipelines.audit.keys import UNSEALED
from framegate.pipelines.audit.report import AuditReport
from framegate.pipelines.audit.unknown_objects import JOURNAL_NAME, OutputNames
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.quarantine import read_unit
from framegate.pipelines.store.parquet import PARQUET_ERRORS
from framegate.schemas.errors import DamagedUnit, FramegateError


def check_journal(report: AuditReport, output: Output, intake: Intake, *, is_quick: bool) -> None:
    """Reads every unit whole; with `is_quick` only the columns that the other checks need."""
    below, check = OutputNames.of(output), report["journal"]
    num_missing = 0
    listed = (info.uri for folder in ("journal", "deepened") for info in output.list(folder))
    for uri, data in output.store.read_present(listed):
        name = below.name(uri)
        check.num_checked += 1
        match = JOURNAL_NAME.fullmatch(name)
        if data is None:
            num_missing += 1
        elif match is None:
            check.find(f"{name} is no name of a unit: move it out of the journal")
        else:
            problem = _take(report, intake, match, data, is_quick=is_quick)
            if problem:
                check.find(f"{name} {problem}: 'framegate seal' sets it aside, and the next run asks again")
    if check.num_checked - num_missing:
        check.note(f"{check.num_checked - num_missing:,} units wait for 'framegate seal' or the end of a run")
    for info in output.list("quarantine"):
        check.num_checked += 1
        check.find(f"{below.name(info.uri)} was set aside, as it is no unit: look at it, and move it out of the output")
    num_open = sum(1 for _ in output.list("attempts"))
    if num_open:
        check.note(f"{num_open:,} attempts stand open: work in progress, or work that its process died of")


def _take(report: AuditReport, intake: Intake, match: re.Match[str], data: bytes, *, is_quick: bool) -> str | None:
    """Takes in the rows of one unit. Returns what is wrong with it, or None."""
    name, config_id = match.group(), match[1]
    try:
        table = read_unit(name, data)
        if is_quick:
            table = table.select(intake.columns(UNSEALED))
        erased = intake.num_erased(table)
        intake.take(table, table=UNSEALED, config_id=config_id, file=name)
    except DamagedUnit as error:
        return (str(error).splitlines() or [""])[0].removeprefix(f"{name} ")
    except (*PARQUET_ERRORS, FramegateError) as error:
        return f"is no whole object of a unit ({(str(error).splitlines() or [''])[0]})"
    report["erased"].num_checked += table.num_rows if intake.tombstones else 0
    if erased:
        report["erased"].find(f"{name} holds {erased:,} rows of an erased video: run 'framegate erase' for it again")
    return None
