"""`framegate bench pruned-dock`: certifies pruning on films of the dock that stand still for much of the time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile, cache_folder, choose_names, parse_share
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.pruned import print_prunes
from framegate.schemas.errors import ConfigError

HEADINGS = {
    "threshold": "threshold",
    "video_share": "video tokens",
    "prompt_share": "prompts",
    "prefill_seconds": "prefill s",
    "prefill_share": "share",
}


def pruned_dock(
    clips: Annotated[int, typer.Option(min=1, max=100_000, help="How many films, each one clip.")] = 800,
    idle: Annotated[int, typer.Option(min=0, max=12, help="Seconds of the empty dock after the last crate.")] = 10,
    questions: Annotated[
        str, typer.Option("--questions", metavar="A,B", help="Of the demo's bank, by id.")
    ] = "black_seen",
    thresholds: Annotated[
        list[float] | None,
        typer.Option("--threshold", min=0, max=2, help="Of frames.prune; several may be given.", show_default=False),
    ] = None,
    audit: Annotated[str, typer.Option(metavar="SHARE", help="Of rows, those answered at all thresholds.")] = "50%",
    epsilon: Annotated[str, typer.Option(metavar="SHARE", help="As of framegate calibrate.")] = "1%",
    delta: Annotated[str, typer.Option(metavar="SHARE", help="As of framegate calibrate.")] = "5%",
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A checkpoint of the dock's world.", show_default="the one in the package"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Films and answers go here.", show_default="a cache"),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Of prefills; the median is told.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Certify frames.prune where nothing happens for much of the time, and measure what it saves.

    Films are those of the demo's dock, and after the last crate the dock stands empty, the same pixels in every frame.
    Rows of the audit sample are answered without pruning and at each threshold; what framegate calibrate makes of
    them is printed. Then prefills of 24 of the films are timed at each threshold.

    [bold]Examples[/bold]

      framegate bench pruned-dock

      framegate bench pruned-dock --questions black_seen,first_colour,parcel_moves --clips 200 --json pruned.json
    """
    from framegate.pipelines.lab.bench.pruned_dock import (
        QUESTION_IDS,
        DockSizes,
        certify_dock,
        make_films,
        measure_prefills,
    )

    tested = sorted({*(thresholds or (1e-5, 1e-3, 0.01, 0.1, 0.3, 0.5))})
    if not all(tested):
        raise ConfigError("--threshold 0 leaves nothing out; every row of the sample is answered so anyway")
    sizes = DockSizes(
        num_clips=clips,
        idle_seconds=idle,
        question_ids=tuple(choose_names("--questions", questions, QUESTION_IDS)),
        audit_rate=parse_share("--audit", audit) or 0.0,
    )
    folder = out or cache_folder() / "pruned-dock"
    films = make_films(folder, sizes)
    findings = certify_dock(
        films,
        folder,
        sizes,
        thresholds=tested,
        epsilon=parse_share("--epsilon", epsilon) or 0.01,
        delta=parse_share("--delta", delta) or 0.05,
        model=model,
    )
    console = make_console()
    assert findings.prunes is not None
    print_prunes(console, findings.prunes)
    figures = [asdict(one) for one in measure_prefills(films, thresholds=tested, num_repeats=repeats, model=model)]
    say("prefills, by threshold:")
    shown = [{head: row[name] for name, head in HEADINGS.items()} for row in figures]
    print_table(console, tuple(HEADINGS.values()), shown)
    write_json(json_file, "bench pruned-dock", [{"prunes": asdict(findings.prunes), "prefills": figures}])
