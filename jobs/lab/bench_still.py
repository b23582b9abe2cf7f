"""`framegate bench still`: what taking over answers of still clips saves and misses."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.schemas.errors import InputError

HEADINGS = {
    "same_within": "same_within",
    "num_clips": "clips",
    "copied_share": "taken over",
    "engine_seconds": "engine s",
    "film_hours_per_engine_hour": "film h / engine h",
    "num_different": "other answers",
    "num_wrong": "wrong",
    "num_missed": "person missed",
}


def still(
    films: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILM...]", help="Films of still cameras; none: nights are made.")
    ] = None,
    within: Annotated[
        list[float] | None, typer.Option("--within", min=0, max=255, help="As clips.same_within; may be given again.")
    ] = None,
    nights: Annotated[int, typer.Option(min=1, max=100, help="So many nights are made.")] = 3,
    minutes: Annotated[float, typer.Option(min=1, max=600, help="Of each.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="As clips.seconds in a job file.")] = 10.0,
    fps: Annotated[float, typer.Option(min=0.1, max=30, help="As frames.fps in a job file.")] = 1.0,
    json_file: JsonFile = None,
) -> None:
    """Run films of still cameras with every clip asked, and again with answers taken over.

    A made night has the noise of a sensor, rain in a quarter of it and a person who walks through for 4 seconds. taken
    over is the share of answers; engine s what our own engine was busy with the small model that comes along; other
    answers those of that model which differ from the run in which every clip is asked. wrong are answers that were
    taken over and that the pixels of their own clip contradict, and person missed those of them that say that nobody is
    there; both are for made nights alone.

    [bold]Examples[/bold]

      framegate bench still

      framegate bench still --within 2 --within 4 gate.mp4 yard.mp4
    """
    from framegate.pipelines.lab.bench.still import make_night, measure_still

    if missing := [str(film) for film in films or () if not film.is_file()]:
        raise InputError(f"{missing[0]} is no file; name videos on this machine")
    with tempfile.TemporaryDirectory() as folder:
        made = [] if films else [Path(folder) / f"night{number}.mp4" for number in range(nights)]
        for number, path in enumerate(made):
            make_night(path, seconds=60 * minutes, seed=number)
        figures = [
            *measure_still(
                films or made,
                Path(folder),
                within=within or [0.0, 2.0, 3.0, 4.0, 6.0],
                clip_seconds=seconds,
                fps=fps,
                made=not films,
            )
        ]
    rows = [asdict(figure) for figure in figures]
    shown = [
        {
            head: "every clip asked" if name == "same_within" and row[name] is None else row[name]
            for name, head in HEADINGS.items()
        }
        for row in rows
    ]
    print_table(make_console(), tuple(HEADINGS.values()), shown)
    if figures[0].num_person_clips is not None:
        say(f"a person is in {figures[0].num_person_clips} of {figures[0].num_clips} clips")
    write_json(json_file, "bench still", rows)
