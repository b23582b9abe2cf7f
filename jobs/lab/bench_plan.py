"""`framegate bench plan`: measures what it costs to find out that a million videos are done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile, cache_folder
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.schemas.errors import ConfigError

HEADINGS = {
    "case": "case",
    "num_videos": "videos",
    "num_answers": "answers",
    "num_left": "left",
    "list_seconds": "list s",
    "done_seconds": "done s",
    "plan_seconds": "plan s",
    "seconds": "seconds",
    "peak_rss_mib": "peak MiB",
}


def plan(
    videos: Annotated[int, typer.Option(min=1, max=100_000_000, help="In the archive, all of them done.")] = 100_000,
    clips: Annotated[int, typer.Option(min=1, max=100_000, help="Of each video.")] = 2,
    questions: Annotated[int, typer.Option(min=1, max=1000, help="Answered of each clip.")] = 2,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the archive is made.", show_default="~/.cache/framegate/bench"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Plan an archive of which all is done: how long it takes, step by step, and how much memory.

    An archive of empty files is made, and an output with an answer to every question of every clip. Then a new process
    each plans: all done; one more question in the bank; a hundredth of new videos.

    list s is finding the videos in storage, done s reading what is stored of them, plan s the difference. peak MiB is
    the most memory that the process ever had, Python and its libraries (some 150) included.

    The archive stays in DIR and is used again; delete the folder when done. A million videos are made in about a
    minute, and take 65 MB of disk and a million inodes.

    [bold]Examples[/bold]

      framegate bench plan --json plan.json

      framegate bench plan --videos 1000000
    """
    from framegate.pipelines.lab.bench.plan.archive import Archive, make_archive
    from framegate.pipelines.lab.bench.plan.measure import Case, measure

    if not Path("/proc/self/status").exists():
        raise ConfigError("framegate bench plan reads memory from Linux's /proc, which is not there; use Linux")
    home = (folder or cache_folder()).absolute() / f"plan-{videos}-{clips}x{questions}"
    archive = Archive(folder=str(home), num_videos=videos, num_clips=clips, num_questions=questions)
    console = make_console()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[dict[str, Any]] = []
    with Progress(*columns, console=console) as bars:
        making = bars.add_task("videos made", total=videos)
        storing = bars.add_task("videos answered", total=videos)
        make_archive(
            archive,
            on_done=lambda what, number: bars.update(making if what == "files" else storing, completed=number),
        )
        bars.remove_task(making)
        bars.remove_task(storing)
        bar = bars.add_task("", total=3)

        def on_case(case: Case) -> None:
            bars.update(bar, description=case.name, completed=len(rows))

        rows.extend(measure(archive, on_case=on_case))
        bars.remove_task(bar)
    shown = [{heading: row[name] for name, heading in HEADINGS.items()} for row in rows]
    print_table(console, tuple(HEADINGS.values()), shown)
    write_json(json_file, "bench plan", rows)
