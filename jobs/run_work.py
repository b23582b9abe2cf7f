"""What `framegate run` and `framegate deepen` share: their options, how work is shown, and how its end is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.printing import say, write_json
from framegate.jobs.progress import ProgressDisplay
from framegate.jobs.run_end import EXIT_INCOMPLETE, RunEnd, end_without_plan
from framegate.schemas.errors import FramegateError, RunStopped
from framegate.schemas.run import RunSummary

if TYPE_CHECKING:
    from framegate.schemas.config import Cost

Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Be over by then: 06:00, in run.timezone.", show_default=False),
]
For = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help="Be over after so long: 4h, 90m.", show_default=False)
]


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

    def __init__(self, path: Path | None, *, command: str = "run", before: Sequence[Mapping[str, Any]] = ()) -> None:
        """`before`: records that stay in front of this one."""
        self._path = path
        self._command = command
        self._before = before
        self._row: dict[str, Any] = {}

    def write(self, fields: Mapping[str, Any]) -> None:
        """Replaces the file. What `fields` do not tell stays as it was. Raises StorageError."""
        self._row |= {name: value for name, value in fields.items() if name != "counts"} | (fields.get("counts") or {})
        write_json(self._path, self._command, [*self._before, self._row])

    def another(self) -> RecordFile:
        """For the record of a run that comes after this one: both stand in the file."""
        return RecordFile(self._path, command=self._command, before=[*self._before, self._row])

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
