"""The progress of a run: two live lines on a terminal; in a log a line for each phase, and one a minute in any case."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from framegate.jobs.log import LOG_EVERY_SECONDS, Log, LogFormat, Ticker
from framegate.schemas.config.cost import Cost
from framegate.schemas.run import Phase, Progress, RunSummary

_DOING = {
    Phase.STARTING: "looking at the output",
    Phase.PLANNING: "looking for videos and for what of them is left to do",
    Phase.LOADING: "starting workers and loading the model",
    Phase.SEALING: "sealing what is committed",
    Phase.RECORDING: "counting what came of it",
}
Price = Callable[[float], Cost | None]
"""What a run has cost after so many seconds."""
_IN_EVERY_LINE = ("run_id", "config_id")


class ProgressDisplay:
    """A context manager that shows progress. `flow.run` calls `begin_phase` and `update`, in one thread.

    A terminal has two lines that change; `log` has lines. With JSON there is a log on a terminal, too. `has_begun`: the
    plan is made and stored; what goes wrong from then on is no refusal. `price` tells what a run has cost; None: it is
    not known.
    """

    def __init__(
        self,
        console: Console,
        log: Log | None = None,
        *,
        every_seconds: float = LOG_EVERY_SECONDS,
        price: Price | None = None,
    ) -> None:
        self.price = price
        self._console, self._every_seconds = console, every_seconds
        self._latest, self._told_at = Progress(phase=Phase.STARTING), time.monotonic()
        self.log = log or Log(stream=console.file)
        is_live = console.is_terminal and self.log.format is LogFormat.text
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._draw) if is_live else None
        )
        self._ticker = Ticker(self._log, seconds=every_seconds)
        self.has_begun = False

    def begin_phase(self, progress: Progress) -> None:
        """A phase of the run begins. What may still be refused is no line: a refusal is one sentence, and alone."""
        self._keep(progress)
        self.has_begun = progress.config_id is not None
        self.log.run_id, self.log.config_id = progress.run_id or None, progress.config_id
        if self._live is None and progress.config_id is not None:
            self._log()

    def update(self, progress: Progress) -> None:
        """A unit was committed."""
        self.has_begun = True
        self._keep(progress)

    def end(self, summary: RunSummary, row: Mapping[str, Any]) -> None:
        """The run came to its end, and `row` is all that is known of it."""
        if self._live is None:
            self.log.write("ended", describe_end(summary), **{k: v for k, v in row.items() if k not in _IN_EVERY_LINE})

    def renewed(self) -> ProgressDisplay:
        """Another one in its place, for what comes after the run that this one has shown."""
        return ProgressDisplay(self._console, self.log, every_seconds=self._every_seconds, price=self.price)

    def __enter__(self) -> ProgressDisplay:
        (self._live or self._ticker).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self._live or self._ticker).stop()

    def _keep(self, progress: Progress) -> None:
        self._latest, self._told_at = progress, time.monotonic()

    def _now(self) -> Shown:
        """What was told last, with the time that has gone by since."""
        latest, told_at = self._latest, self._told_at
        since = time.monotonic() - told_at
        progress = latest.at(elapsed_seconds=latest.elapsed_seconds + since)
        is_known = latest.phase is Phase.WORKING and latest.pace is not None
        cost = self.price and self.price(progress.elapsed_seconds)
        return Shown(progress, latest.pace.seconds_left(since) if is_known and latest.pace else None, cost or None)

    def _log(self) -> None:
        shown = self._now()
        values = asdict(shown.progress)
        counts, pace = values.pop("counts"), shown.progress.pace
        values.pop("pace")
        told = {name: value for name, value in values.items() if name not in _IN_EVERY_LINE}
        told |= {
            **counts,
            "seconds_left": shown.seconds_left,
            "rows_per_second": pace and pace.rows_per_second,
            "cost": shown.cost and shown.cost.amount,
            "currency": shown.cost and shown.cost.currency,
        }
        rounded: dict[str, Any] = {
            name: round(value, 3) if isinstance(value, float) else value for name, value in told.items()
        }
        self.log.write("progress", describe(shown), **rounded)

    def _draw(self) -> Table | Text:
        shown = self._now()
        if shown.progress.phase is not Phase.WORKING:
            return Text(describe(shown))
        first = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=1.0, completed=shown.progress.share_done, width=24)
        first.add_row(bar, Text("  ".join(_how_far(shown))))
        lines = Table.grid()
        lines.add_row(first)
        lines.add_row(Text("  ".join(_how_well(shown.progress))))
        return lines


@dataclass(frozen=True)
class Shown:
    """What is told of a run at one moment. `seconds_left`: of its work; None where it cannot be told."""

    progress: Progress
    seconds_left: float | None = None
    cost: Cost | None = None


def describe(shown: Shown) -> str:
    """One line: `videos 3/40  ETA 4 min  cost 1.20 EUR  clips 12  rows 48  1.9 rows/s  think 31%  failed 0
    unparsed 1`; else what the run is at."""
    progress = shown.progress
    if progress.phase is not Phase.WORKING:
        is_idle = progress.phase is Phase.LOADING and progress.num_videos_planned == 0
        doing = "nothing is left to do" if is_idle else _DOING[progress.phase]
        cost = f", cost {shown.cost}" if shown.cost else ""
        return f"{progress.phase}, {duration(progress.elapsed_seconds)}: {doing}{cost}"
    return "  ".join([*_how_far(shown), *_how_well(progress)])


def _how_far(shown: Shown) -> list[str]:
    progress = shown.progress
    return [
        f"videos {progress.num_videos_begun:,}/{progress.num_videos_planned:,}",
        f"ETA {duration(shown.seconds_left)}",
        *([f"cost {shown.cost}"] if shown.cost else []),
    ]


def _how_well(progress: Progress) -> list[str]:
    counts, pace = progress.counts, progress.pace
    return [
        f"clips {counts.num_clips:,}",
        f"rows {counts.num_answers + counts.num_deepened + counts.num_failures:,}",
        f"{pace.rows_per_second:.1f} rows/s" if pace else "- rows/s",
        f"think {counts.think_rate:.0%}",
        f"failed {counts.num_failures:,}",
        "unparsed -" if counts.num_unparsed is None else f"unparsed {counts.num_unparsed:,}",
    ]


def describe_end(summary: RunSummary) -> str:
    """One line: how the run ended, what came of its videos as far as there was time to count them, and where its time
    went."""
    word = "stopped" if summary.is_stopped else "complete" if summary.is_complete else "incomplete"
    numbers = {name: getattr(summary, f"num_videos_{name}") for name in ("answered", "failed", "skipped", "left")}
    videos = [f"{number:,} {name}" for name, number in numbers.items() if number is not None] or ["not counted"]
    phases = (f"{name} {duration(seconds)}" for name, seconds in summary.phase_seconds.items())
    return f"{word} in {duration(summary.elapsed_seconds)}; videos: {', '.join(videos)}; {', '.join(phases)}"


def duration(seconds: float | None) -> str:
    """A length of time in its largest fitting unit; `-` where it is not known."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
