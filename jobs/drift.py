"""What `framegate run` says of drift, and how it ends by it."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Final

import typer

from framegate.jobs.printing import say
from framegate.jobs.run_end import RunEnd
from framegate.schemas.config import DriftConfig
from framegate.schemas.drift import alarms_of, say_drift
from framegate.schemas.errors import ConfigError
from framegate.schemas.run import RunSummary

EXIT_DRIFT: Final = 5


class FailOn(StrEnum):
    """What `--fail-on` knows."""

    drift = "drift"


FailOnOption = Annotated[
    list[FailOn] | None,
    typer.Option("--fail-on", help="End with exit code 5 where a complete night has drifted.", show_default=False),
]


def check_fail_on(fail_on: Collection[FailOn], config: DriftConfig) -> None:
    """Raises ConfigError where drift is to end a run that does not look for it."""
    if FailOn.drift in fail_on and not config.on_end:
        raise ConfigError("--fail-on drift needs drift.on_end, which this job switches off; take one of them out")


def say_found_drift(summary: RunSummary, *, is_asked: bool) -> None:
    """The alarms of a run that ended. Why nothing was compared is said where it was asked for, or went wrong."""
    for line in say_drift(summary.drift):
        say(line)
    if summary.drift_note is not None and (is_asked or summary.drift is not None):
        say(f"note: drift: {summary.drift_note}")


def end_by_drift(end: RunEnd, summary: RunSummary, fail_on: Collection[FailOn]) -> RunEnd:
    """How a run ends that would else end with 0: all of it is sealed and recorded."""
    alarms = alarms_of(summary.drift)
    if end.exit_code or FailOn.drift not in fail_on or not alarms:
        return end
    count = "1 alarm" if len(alarms) == 1 else f"{len(alarms):,} alarms"
    return RunEnd(exit_code=EXIT_DRIFT, sentence=f"the night is complete, and has drifted: {count} (--fail-on drift)")
