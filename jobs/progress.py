"""The progress of a run: a live line on a terminal, a plain line every LOG_EVERY_SECONDS in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from framegate.schemas.run import Progress

LOG_EVERY_SECONDS = 10.0


class ProgressDisplay:
    """A context manager that shows progress; `flow.run` calls `update` after each committed unit."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._logged_at = time.monotonic()
        self.has_begun = False

    def update(self, progress: Progress) -> None:
        self.has_begun = True
        if self._live is not None:
            self._live.update(_draw(progress))
        elif time.monotonic() - self._logged_at >= LOG_EVERY_SECONDS:
            self._logged_at = time.monotonic()
            self._console.print(describe(progress), highlight=False, soft_wrap=True)

    def __enter__(self) -> ProgressDisplay:
        if self._live is not None:
            self._live.start()
            self._live.update("looking at input and output, loading the model ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def describe(progress: Progress) -> str:
    """One line: `videos 3/40  clips 12  rows 48  unparsed 1  failures 0  1.9 rows/s  think 31%  ETA 4 min`."""
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
            f"ETA {duration(_seconds_left(progress))}",
        ]
    )


def duration(seconds: float | None) -> str:
    """A length of time in its largest fitting unit; `-` where it is not known."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _seconds_left(progress: Progress) -> float | None:
    """The time left if every video takes as long as those begun so far; None before the first one."""
    if progress.num_videos_begun == 0:
        return None
    waiting = progress.num_videos_planned - progress.num_videos_begun
    return progress.elapsed_seconds * waiting / progress.num_videos_begun


def _draw(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(1, progress.num_videos_planned), completed=progress.num_videos_begun, width=24)
    grid.add_row(bar, describe(progress))
    return grid
