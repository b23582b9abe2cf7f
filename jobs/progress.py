"""The progress of a run: a live line on a terminal; in a log a line for each phase, and one a minute in any case."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from framegate.jobs.log import LOG_EVERY_SECONDS, Log, LogFormat, Ticker
from framegate.schemas.run import Phase, Progress, RunSummary

_DOING = {
    Phase.STARTING: "looking at the output",
    Phase.PLANNING: "looking for videos and for what of them is left to do",
    Phase.LOADING: "starting workers and loading the model",
    Phase.SEALING: "sealing what is committed",
    Phase.RECORDING: "counting what came of it",
}
_IN_EVERY_LINE = ("run_id", "config_id")


class ProgressDisplay:
    """A context manager that shows progress. `flow.run` calls `begin_phase` and `update`, in one thread.

    A terminal has one line that changes; `log` has lines. With JSON there is a log on a terminal, too. `has_begun`: the
    plan is made and stored; what goes wrong from then on is no refusal.
    """

    def __init__(self, console: Console, log: Log | None = None, *, every_seconds: float = LOG_EVERY_SECONDS) -> None:
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

    def __enter__(self) -> ProgressDisplay:
        (self._live or self._ticker).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self._live or self._ticker).stop()

    def _keep(self, progress: Progress) -> None:
        self._latest, self._told_at = progress, time.monotonic()

    def _now(self) -> Progress:
        """What was told last, with the time that has gone by since."""
        latest, told_at = self._latest, self._told_at
        return latest.at(elapsed_seconds=latest.elapsed_seconds + time.monotonic() - told_at)

    def _log(self) -> None:
        progress = self._now()
        values = asdict(progress)
        counts = values.pop("counts")
        told = {name: value for name, value in values.items() if name not in _IN_EVERY_LINE}
        told |= {**counts, "seconds_left": seconds_left(progress)}
        rounded: dict[str, Any] = {
            name: round(value, 3) if isinstance(value, float) else value for name, value in told.items()
        }
        self.log.write("progress", describe(progress), **rounded)

    def _draw(self) -> Table | str:
        progress = self._now()
        if progress.phase is not Phase.WORKING:
            return describe(progress)
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(1, progress.num_videos_planned), completed=progress.num_videos_begun, width=24)
        grid.add_row(bar, describe(progress))
        return grid


def describe(progress: Progress) -> str:
    """One line: `videos 3/40  clips 12  rows 48  unparsed 1  failures 0  1.9 rows/s  think 31%  ETA 4 min`; else what
    the run is at."""
    if progress.phase is not Phase.WORKING:
        is_idle = progress.phase is Phase.LOADING and progress.num_videos_planned == 0
        doing = "nothing is left to do" if is_idle else _DOING[progress.phase]
        return f"{progress.phase}, {duration(progress.elapsed_seconds)}: {doing}"
    counts = progress.counts
    rows = counts.num_answers + counts.num_failures
    seconds = max(progress.elapsed_seconds, 1e-9)
    return "  ".join(
        [
            f"videos {progress.num_videos_begun:,}/{progress.num_videos_planned:,}",
            f"clips {counts.num_clips:,}",
            f"rows {rows:,}",
            f"unparsed {counts.num_unparsed or 0:,}",
            f"failures {counts.num_failures:,}",
            f"{rows / seconds:.1f} rows/s",
            f"think {counts.think_rate:.0%}",
            f"ETA {duration(seconds_left(progress))}",
        ]
    )


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


def seconds_left(progress: Progress) -> float | None:
    """The time left if every video takes as long as those begun so far; None before the first one."""
    if progress.num_videos_begun == 0:
        return None
    waiting = progress.num_videos_planned - progress.num_videos_begun
    return progress.elapsed_seconds * waiting / progress.num_videos_begun
