"""`framegate bench clips`: measures what the rows of `clips/` cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.schemas.errors import InputError

HEADINGS = {
    "file": "file",
    "num_clips": "clips",
    "decode_seconds": "decode s",
    "look_seconds": "look s",
    "seconds_share": "look / decode",
    "thumbnail_bytes": "thumbnail bytes",
    "sealed_bytes": "sealed bytes",
}


def clips(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Videos to decode.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="As clips.seconds in a job file.")] = 30.0,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Of each measurement; the median is told.")] = 3,
    values: Annotated[int, typer.Option(min=0, max=1024, help="Of a clip's embedding; it has 1,024 at most.")] = 1024,
    json_file: JsonFile = None,
) -> None:
    """Decode videos and make the picture and the measures of each clip: how long that takes, and how large they are.

    decode s is what decoding the clips takes with the default frames of a job, in this process; look s is what their
    pictures and measures take. A run also asks about each clip, so that look / decode is the most that it may lose.
    thumbnail bytes and sealed bytes are means of a clip; sealed bytes are those of its row in a sealed file, with an
    embedding of chance, which does not compress.

    [bold]Example[/bold]

      framegate bench clips one.mp4 two.mp4 --seconds 10 --json clips.json
    """
    from framegate.pipelines.lab.bench.clips import measure_clips

    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(f"{missing[0]} is no file; name videos on this machine")
    figures = measure_clips(files, clip_seconds=seconds, num_repeats=repeats, num_values=values)
    rows = [asdict(figure) for figure in figures]
    print_table(
        make_console(), tuple(HEADINGS.values()), [{head: row[name] for name, head in HEADINGS.items()} for row in rows]
    )
    write_json(json_file, "bench clips", rows)
