"""`framegate bench drift`: measures what a run takes to hold its night against those before it."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.jobs.options import JsonFile, cache_folder
from framegate.jobs.printing import make_console, print_table, write_json

_COLUMNS = ("rows a night", "videos a night", "cameras", "seconds", "rows found", "record kB")


def drift(
    rows: Annotated[int, typer.Option(min=1, max=10**7, help="Rows of each night.")] = 1_000_000,
    videos: Annotated[int, typer.Option(min=1, max=10**6, help="Videos of each night.")] = 5_000,
    cameras: Annotated[int, typer.Option(min=1, max=1000, help="Cameras.")] = 10,
    questions: Annotated[int, typer.Option(min=1, max=1000, help="Questions.")] = 20,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Looks, one after the other; the median is told.")] = 3,
    folder: Annotated[Path | None, typer.Option(help="Where the nights are kept.", show_default=False)] = None,
    json_file: JsonFile = None,
) -> None:
    """Look for drift in the last of thirteen synthetic nights, as a run does when it ends.

    The nights are made once, and kept for the next time; a million rows a night take some 2 GB.

    [bold]Examples[/bold]

      framegate bench drift

      framegate bench drift --rows 100000 --videos 500 --json drift.json
    """
    from framegate.pipelines.lab.bench.drift import measure_drift

    where = folder or cache_folder() / f"drift-{rows}-{videos}-{cameras}-{questions}"
    looks = [
        *measure_drift(
            where,
            num_rows=rows,
            num_videos=videos,
            num_cameras=cameras,
            num_questions=questions,
            repeats=repeats,
        )
    ]
    row: dict[str, Any] = {
        "rows a night": looks[0].num_rows_a_night,
        "videos a night": looks[0].num_videos_a_night,
        "cameras": cameras,
        "seconds": statistics.median(look.seconds for look in looks),
        "rows found": looks[0].num_rows,
        "record kB": looks[0].record_bytes / 1000,
    }
    print_table(make_console(), _COLUMNS, [row], title=f"median of {len(looks)} looks")
    write_json(json_file, "bench drift", [row])
