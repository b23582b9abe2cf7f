"""`framegate bench still`: what taking over answers of still clips saves and misses, and what is certified of it."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.jobs.options import JsonFile, parse_share
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.promise import Delta, Epsilon
from framegate.schemas.errors import InputError

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.still import Promise, StillFigures

HEADINGS = {
    "same_within": "same_within",
    "num_clips": "clips",
    "copied_share": "taken over",
    "num_timed_clips": "timed clips",
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
    nights: Annotated[int, typer.Option(min=1, max=1000, help="So many nights are made.")] = 12,
    timed: Annotated[
        int, typer.Option("--timed-nights", min=1, help="Our own engine is timed on so many of them.")
    ] = 1,
    minutes: Annotated[float, typer.Option(min=1, max=600, help="Of each.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="As clips.seconds in a job file.")] = 10.0,
    fps: Annotated[float, typer.Option(min=0.1, max=30, help="As frames.fps in a job file.")] = 0.5,
    audit: Annotated[
        str, typer.Option("--audit", metavar="SHARE", help="Of made nights: as gate.audit.rate in a job file.")
    ] = "35%",
    epsilon: Epsilon = "1%",
    delta: Delta = "5%",
    json_file: JsonFile = None,
) -> None:
    """Run films of still cameras with every clip asked, and again with answers taken over.

    A made night has the noise of a sensor, rain in a quarter of it and a person who walks through for 4 seconds. taken
    over is the share of answers. engine s is what our own engine was busy on the timed clips with the small model that
    comes along, in the quickest of three runs, and other answers are those of that model which differ from the run in
    which every clip is asked. The
    rest is for made nights alone. There an engine without weights answers from the pixels of each clip: wrong are
    answers that were taken over and that the pixels of their own clip contradict, and person missed those of them that
    say that nobody is there. These runs have an audit sample, and what framegate calibrate says of it is the
    certificate: so many rows that took over were asked, so many of them differ, and at most such a share of all.

    [bold]Examples[/bold]

      framegate bench still

      framegate bench still --within 2 --within 4 gate.mp4 yard.mp4
    """
    from framegate.pipelines.lab.bench.still import Promise, make_night, measure_still

    if missing := [str(film) for film in films or () if not film.is_file()]:
        raise InputError(f"{missing[0]} is no file; name videos on this machine")
    levels = (("--audit", audit), ("--epsilon", epsilon), ("--delta", delta))
    shares = [parse_share(name, text) or 0.0 for name, text in levels]
    for (name, text), share in zip(levels, shares, strict=True):
        if not 0 < share < 1 and (name, share) != ("--audit", 1.0):
            raise InputError(f"{name} {text}: give a share above 0% and below 100%")
    promise = None if films else Promise(audit_rate=shares[0], epsilon=shares[1], delta=shares[2])
    with tempfile.TemporaryDirectory() as folder:
        made = [] if films else [Path(folder) / f"night{number}.mp4" for number in range(nights)]
        for number, path in enumerate(made):
            make_night(path, seconds=60 * minutes, seed=number)
        figures = [
            *measure_still(
                films or made,
                Path(folder),
                within=within or [0.0, 1.0, 1.5, 2.0, 3.0],
                clip_seconds=seconds,
                fps=fps,
                promise=promise,
                num_timed=None if films else timed,
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
    if promise is not None:
        _print_certificates(figures, promise)
    write_json(json_file, "bench still", rows, header={} if promise is None else asdict(promise))


def _print_certificates(figures: list[StillFigures], promise: Promise) -> None:
    say(f"a person is in {figures[0].num_person_clips} of {figures[0].num_clips} clips")
    shown = [
        {
            "same_within": figure.same_within,
            "rows taken over": figure.num_copied,
            "asked (n)": figure.certificate.num_audited,
            "differ (k)": figure.certificate.num_different,
            "at most differ": f"{figure.certificate.bound:.2%}",
            "": "holds" if figure.certificate.bound <= promise.epsilon else "not shown",
            "all that differ": f"{(figure.num_wrong or 0) / figure.num_copied:.2%}",
        }
        for figure in figures
        if figure.certificate is not None
    ]
    if not shown:
        say("no row took over an answer, so that there is nothing to certify")
        return
    title = f"Certificates; asked for: at most {promise.epsilon:.2%} differ, wrong with a chance of {promise.delta:.2%}"
    print_table(make_console(), tuple(shown[0]), shown, title=title)
