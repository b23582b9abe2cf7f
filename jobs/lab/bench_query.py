"""`framegate bench query`: what SQL over an output costs, against plain DuckDB on the same files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile, cache_folder
from framegate.jobs.printing import make_console, print_table, write_json

CAMERAS, NIGHTS, CLIPS, QUESTIONS = 10, 25, 20, 10
ROWS_PER_VIDEO = CLIPS * QUESTIONS
HEADINGS = {
    "query": "query",
    "num_rows": "rows",
    "plain_seconds": "plain s",
    "view_seconds": "view s",
    "open_seconds": "of which open s",
    "ratio": "ratio",
    "plain_cpu_seconds": "plain CPU s",
    "view_cpu_seconds": "view CPU s",
    "cpu_ratio": "CPU ratio",
}


def query(
    rows: Annotated[int, typer.Option(min=50_000, max=1_000_000_000, help="Of the table, at least.")] = 10_000_000,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Of each query on each side.")] = 5,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the output is made.", show_default="~/.cache/framegate/bench"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Ask eight typical queries of the views and of plain DuckDB, alternately: seconds, and their ratio.

    An output of synthetic rows is made: ten cameras, which are its partitions, for 25 nights. plain s is DuckDB with
    read_parquet and a glob, view s what 'framegate query' does; both from connecting to the last row, in one process,
    after one round that warms the page cache. Medians; CPU s are those of all threads. The rows of both sides are
    compared. A ninth query, of failures that stand, has no equal: plain DuckDB counts all that ever failed.

    The output stays in DIR and is used again; delete the folder when done. Ten million rows take 500 MB, and are made
    in about a minute.

    [bold]Examples[/bold]

      framegate bench query --json query.json

      framegate bench query --rows 1000000 --repeats 11
    """
    from framegate.pipelines.lab.bench.query.measure_local import measure_local
    from framegate.pipelines.lab.bench.query.sealed_output import make_output
    from framegate.pipelines.lab.bench.query.synthetic_rows import Archive
    from framegate.pipelines.lab.bench.query.typical import typical_queries

    num_videos = -(-rows // (NIGHTS * ROWS_PER_VIDEO))
    archive = Archive(
        num_nights=NIGHTS,
        num_videos=-(-num_videos // CAMERAS) * CAMERAS,
        num_cameras=CAMERAS,
        num_clips=CLIPS,
        num_questions=QUESTIONS,
    )
    home = (folder or cache_folder()).absolute() / f"query-{archive.num_rows}"
    console, found = make_console(), list[dict[str, Any]]()
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        making = bars.add_task("rows made", total=archive.num_rows)
        output = make_output(home, archive, on_done=lambda num_rows: bars.update(making, completed=num_rows))
        bars.remove_task(making)
        bar = bars.add_task("", total=len(typical_queries(archive)))
        for figures in measure_local(
            output, archive, repeats=repeats, on_query=lambda name: bars.update(bar, description=name)
        ):
            found.append(asdict(figures))
            bars.advance(bar)
        bars.remove_task(bar)
    print_table(
        console, tuple(HEADINGS.values()), [{head: row[name] for name, head in HEADINGS.items()} for row in found]
    )
    write_json(json_file, "bench query", found)
