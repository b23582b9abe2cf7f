"""`framegate bench strategies`: every strategy on the same clips of the dock, compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.compare import find_sources, print_comparison, write_comparison
from framegate.jobs.label import read_rows
from framegate.jobs.log import Log, ray_ended
from framegate.jobs.options import JsonFile, cache_folder, choose_names
from framegate.jobs.printing import say
from framegate.jobs.run import run_job
from framegate.schemas.config.gate import STRATEGY_NAMES
from framegate.schemas.errors import ConfigError, FramegateError


def strategies(
    clips: Annotated[int, typer.Option(min=2, max=10_000, help="How many clips, each a video; 8 questions each.")] = 40,
    names: Annotated[
        str | None,
        typer.Option("--strategies", metavar="A,B", help="These alone, the first for comparison.", show_default="all"),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A checkpoint of the dock's world.", show_default="the one in the package"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Films, jobs and answers go here.", show_default="a cache"),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture there.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page there.", show_default=False)
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Run each strategy that a job can name over the same clips of the demo's dock, and compare them with the truth.

    The jobs have the strategies' defaults and the packaged model, which was trained to answer first and to think then,
    and for nothing else: a strategy may well not help it, and the table says so. A strategy that the engine cannot run
    is named and left out. Answers that are there already stay, and their seconds are those of the run that gave them.

    [bold]Examples[/bold]

      framegate bench strategies

      framegate bench strategies --clips 48 --strategies direct,gated,look_again --out strategies --html compare.html
    """
    from framegate.pipelines.compare.build import compare_sources
    from framegate.pipelines.compare.told import labels_of_rows
    from framegate.pipelines.lab.bench.strategies import make_strategies
    from framegate.schemas.job import load_job

    chosen = choose_names("--strategies", names, STRATEGY_NAMES)
    if len(chosen) < 2:
        raise ConfigError(f"--strategies {names}: name two or more of {', '.join(STRATEGY_NAMES)}")
    folder = out or cache_folder() / f"strategies-{clips}"
    made = make_strategies(folder, chosen, num_clips=clips, model=model)
    done: list[str] = []
    with ray_ended(Log()) as ending:
        for strategy, path in made.jobs.items():
            say(f"framegate run {path}   (strategy {strategy})")
            try:
                code = run_job(load_job(path), name=str(path), accept_new_config=True)
            except FramegateError as error:
                say(f"{strategy} is left out: {error}")
                continue
            if code != 0:
                raise typer.Exit(code)
            done.append(str(path))
        ending.keep = False
    if len(done) < 2:
        raise ConfigError(f"{len(done)} of {len(chosen)} strategies ran, and two are needed to compare")
    found = compare_sources(find_sources(done, []), labels_of_rows(read_rows(made.labels, option="--labels")))
    print_comparison(found)
    write_comparison(found, svg=svg, html=html, json_file=json_file, command="bench strategies")
