"""`framegate bench driver`: whole runs over many small films beside bare Ray Data; and what one asks of S3."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framegate.jobs.options import JsonFile, takes_options
from framegate.jobs.printing import make_console, print_line, print_table, write_json

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.driver.measure import Measured, System


@dataclass(frozen=True, kw_only=True)
class DriverOptions:
    """What is run, and how often."""

    videos: Annotated[int, typer.Option(min=1, max=10_000_000, help="Films of two seconds that are made for it.")] = (
        2000
    )
    repeats: Annotated[int, typer.Option(min=0, max=100, help="Turns; each has all systems.")] = 3
    decode_workers: Annotated[int, typer.Option(min=1, max=1000, help="As ray.decode_workers in a job file.")] = 2
    only_ours: Annotated[bool, typer.Option("--only-ours", help="Leave bare Ray Data out.")] = False
    checkout: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Another checkout of this program to measure.", show_default="none"),
    ] = None
    requests: Annotated[
        bool, typer.Option("--requests", help="Also run into an S3 server that is started for it, and count.")
    ] = False
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where films and outputs lie.", show_default="the system's temporary folder"),
    ] = None
    json_file: JsonFile = None


@takes_options
def driver(options: DriverOptions) -> None:
    """Run a job over many small films, whole process by whole process, beside bare Ray Data at the same work.

    [bold]framegate[/bold] finds, plans, decodes, answers (four questions, by an engine that writes a fixed text),
    commits, seals and counts. [bold]bare_16[/bold] is Ray Data alone: PyAV decodes, a constant answers,
    write_parquet writes rows of the same columns; 16 films are a block, or one of them (bare_1). ratio is videos/s by
    those of bare_16 in the same turn. steady/s leaves out start and end.

    The second table has what each kind of process took: processor time of a video, the memory of the largest one, and
    how much that grows with each video, over the last two thirds of them.

    [bold]Examples[/bold]

      framegate bench driver --json driver.json

      framegate bench driver --checkout ../before --requests
    """
    from framegate.pipelines.lab.bench.driver.measure import System, Workbench, measure_in_turn
    from framegate.pipelines.lab.bench.driver.request_counts import count_requests

    console = make_console()
    ours = [System(name="framegate")]
    if options.checkout is not None:
        ours.append(System(name="checkout", checkout=options.checkout))
    bare = [System(name=f"bare_{n}", per_block=n) for n in (16, 1) if not options.only_ours]
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="framegate-bench-driver-", dir=options.folder) as scratch:
        bench = Workbench(Path(scratch), options.videos, decode_workers=options.decode_workers)
        measured = list(measure_in_turn(bench, [*ours, *bare], options.repeats))
        requests = [row for one in ours for row in _count(count_requests, bench, one, options)]
    _print(console, measured, requests)
    rows = [{**asdict(one), "videos_per_second": one.videos_per_second} for one in measured]
    write_json(options.json_file, "bench driver", [*rows, *requests])


def _count(count: Any, bench: Any, system: System, options: DriverOptions) -> list[dict[str, Any]]:
    return count(bench, system, options.videos) if options.requests else []


def _print(console: Console, measured: Sequence[Measured], requests: Sequence[dict[str, Any]]) -> None:
    from framegate.pipelines.lab.bench.driver.report import kind_rows, system_rows

    columns = ("system", "videos", "seconds", "videos/s", "steady/s", "ratio", "cpu ms a video")
    print_table(console, columns, system_rows(measured), title="Medians of whole processes")
    columns = ("system", "process", "number", "cpu ms a video", "peak MiB", "end MiB", "grows kB a video")
    print_table(console, columns, kind_rows(measured), title="Kinds of processes, medians")
    if requests:
        columns = ("system", "operation", "folder", "requests", "per_unit", "bytes_per_put")
        print_table(console, columns, requests, title="Requests to S3")
        for name in dict.fromkeys(row["system"] for row in requests):
            total = sum(row["per_unit"] for row in requests if row["system"] == name)
            print_line(console, f"{name}: {total:.2f} requests a unit")
