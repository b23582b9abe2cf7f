"""`framegate bench decode`: measures the decoder and its alternatives side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile, cache_folder, choose_names
from framegate.jobs.printing import make_console, print_line, print_table, write_json
from framegate.schemas.errors import ConfigError

RAY = "ray_read_videos"
RAY_SECONDS = 600.0  # it decodes all of a film, once per task and repeat
HEADINGS = {  # as wide as a terminal allows; the JSON has the long names
    "system": "system",
    "seconds": "seconds",
    "speedup": "speedup",
    "ratio_to_in_process": "/ in process",
    "cpu_seconds": "cpu s",
    "videos_per_second": "videos/s",
    "frames_per_second": "frames/s",
    "bytes_read_fraction": "bytes read",
    "peak_rss_mib": "peak MiB",
    "start_seconds": "start s",
    "picture_difference": "difference",
}


def decode(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Videos to decode.", show_default="two films that are made here"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where films are made.", show_default="~/.cache/framegate/bench"),
    ] = None,
    gop_seconds: Annotated[int, typer.Option(min=1, max=60, help="From key frame to key frame of the films.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Of each measurement; the median is told.")] = 3,
    systems: Annotated[str | None, typer.Option(metavar="A,B", help="Only these.", show_default="all five")] = None,
    tasks: Annotated[str | None, typer.Option(metavar="A,B", help="Only these.", show_default="sparse,dense")] = None,
    ray_on_long_files: Annotated[
        bool, typer.Option("--ray-on-long-files", help="Also run ray_read_videos on more than 10 minutes.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Decode the same frames with our decoder and with others: how long, how many bytes, how much memory.

    [bold]sparse[/bold] takes 32 frames spread evenly over the whole file, [bold]dense[/bold] 2 frames a second of the
    minute in its middle, all scaled to the size that a model would get.

    Without FILE, two H.264 films are made: 5 minutes of 720p (117 MB) and 1 hour of 360p (262 MB), which takes about a
    minute on 2 cores. They stay in DIR and are used again; delete the folder when done. A key frame every 2 seconds is
    what cameras and streaming servers make; encoders on their own take up to 8, which is more to read and to decode.

    Each measurement runs in a new process, the systems in turn. Importing, starting and the same task on a tiny film
    come first (start s): a process that decodes lives for hundreds of videos. The columns are medians:

    speedup is decord's time by the system's, / in process the system's by framegate_in_process's: for
    framegate_sandbox, what the sandbox costs. Both are taken within each turn.

    cpu s sums threads and child processes, and so does peak MiB, which counts memory that they share once.

    bytes read is a fraction of the file: what we fetched from storage, and for the others the sum of their read calls,
    which may read a byte several times.

    difference, in grey levels up to 255, compares the pictures with those of framegate_in_process: where it is above
    24, or frames are missing, the exit code is 1.

    ray_read_videos decodes every frame of a file. It runs with resize and fps set, so that few of them cross its
    object store; Ray's own servers are not counted.

    [bold]Examples[/bold]

      framegate bench decode --json decode.json

      framegate bench decode one.mp4 --systems framegate_sandbox,decord --repeats 5
    """
    from framegate.pipelines.lab.bench.decode.measure import measure
    from framegate.pipelines.lab.bench.decode.systems import SYSTEMS
    from framegate.pipelines.lab.bench.decode.work import TASKS, Work, plan_work

    if not Path("/proc/self/io").exists():
        raise ConfigError(
            "framegate bench decode reads memory and bytes from Linux's /proc, which is not there; use Linux"
        )
    chosen = choose_names("--systems", systems, SYSTEMS)
    chosen_tasks = choose_names("--tasks", tasks, TASKS)
    console = make_console()
    columns = (TextColumn("{task.description:<72}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[dict[str, Any]] = []
    with Progress(*columns, console=console) as bars:
        paths = files or _make_films(folder or cache_folder(), gop_seconds, bars)
        works = []
        for work in [plan_work(path, name) for path in paths for name in chosen_tasks]:
            with_ray = ray_on_long_files or work.duration_seconds <= RAY_SECONDS
            works.append((work, [name for name in chosen if name != RAY or with_ray]))
        bar = bars.add_task("", total=repeats * sum(len(systems) for _, systems in works))

        def on_run(work: Work, system: str, num_done: int) -> None:
            text = f"{Path(work.path).name} {work.task} {system}"
            bars.update(bar, description=text, completed=num_done)

        for some in measure(works, num_repeats=repeats, on_run=on_run):
            _print_rows(console, some)
            rows += some
        bars.remove_task(bar)
    write_json(json_file, "bench decode", rows)
    if any(row["complaint"] for row in rows):
        raise typer.Exit(1)


def _make_films(folder: Path, gop_seconds: int, bars: Progress) -> list[Path]:
    from framegate.pipelines.lab.bench.decode.films import films_with_key_frames, make_film

    paths = []
    for film in films_with_key_frames(gop_seconds):
        path = folder / film.file_name
        if not path.exists():
            bar = bars.add_task(f"seconds made of {path}", total=film.seconds)
            make_film(film, path, on_seconds=lambda seconds, bar=bar: bars.update(bar, completed=int(seconds)))
        paths.append(path)
    return paths


def _print_rows(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    first = rows[0]
    title = f"{first['file']}, {first['task']}: {max(row['num_frames'] for row in rows)} frames"
    shown = [{heading: row[name] for name, heading in HEADINGS.items()} for row in rows]
    print_table(console, tuple(HEADINGS.values()), shown, title=title)
    for row in rows:
        if row["complaint"]:
            print_line(console, f"{row['system']}: {row['complaint']}", style="bold red")
