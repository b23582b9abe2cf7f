"""`framegate bench strategies`: every strategy on the same clips of the dock, compared by kinds of questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framegate.jobs.compare import comparison_json, find_sources, print_comparison, write_pictures
from framegate.jobs.label import read_rows
from framegate.jobs.options import JsonFile, cache_folder, choose_names
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.schemas.config.gate import STRATEGY_NAMES
from framegate.schemas.errors import ConfigError, FramegateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from framegate.pipelines.compare.figures import Comparison
    from framegate.pipelines.lab.dock.question_sets import QuestionSet

FIRST = "gated"
SETS = ("demo", "more_frames", "long_thoughts", "ambiguous")
_MARKS = {"more often right": " +", "less often right": " -"}


def strategies(
    clips: Annotated[int, typer.Option(min=2, max=10_000, help="How many clips of each set, each a video.")] = 20,
    names: Annotated[
        str | None,
        typer.Option(
            "--strategies",
            metavar="A,B",
            help="These alone, the first for comparison.",
            show_default="all, gated for comparison",
        ),
    ] = None,
    sets: Annotated[
        str | None,
        typer.Option(
            "--questions", metavar="A,B", help=f"Sets of questions, of {', '.join(SETS)}.", show_default="all"
        ),
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
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Write pictures there, FILE-SET.svg.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write pages there, FILE-SET.html.", show_default=False),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Run each strategy that a job can name over the same clips of the demo's dock, and compare them with the truth.

    Sets of films and questions are each for what one kind of strategy is meant to be good at: demo, the demo's own;
    more_frames, what one second of a long film shows; long_thoughts, the parcel in long films; ambiguous, crates that a
    truck hides for one of their three seconds. At the end stands a table of all strategies and sets, with + where one
    is shown to be more often right than the first strategy and - where less often. The jobs have the strategies'
    defaults but for lengths, and the packaged model, which was trained to answer first and to think then, and for
    nothing else: a strategy may well not help it, and the table says so. A strategy that the engine cannot run is named
    and left out. Jobs run in this process, one video after the other. Answers that are there already stay, and their
    seconds are those of the run that gave them.

    [bold]Examples[/bold]

      framegate bench strategies

      framegate bench strategies --clips 48 --strategies gated,frame_ensemble --questions ambiguous --html compare.html
    """
    from framegate.pipelines.lab.dock.question_sets import QUESTION_SETS

    everything = (FIRST, *(name for name in STRATEGY_NAMES if name != FIRST))
    chosen = choose_names("--strategies", names, everything)
    if len(chosen) < 2:
        raise ConfigError(f"--strategies {names}: name two or more of {', '.join(STRATEGY_NAMES)}")
    folder = out or cache_folder() / f"strategies-{clips}"
    found: dict[str, Comparison] = {}
    for name in choose_names("--questions", sets, SETS):
        found[name] = _compare(folder / name, chosen, QUESTION_SETS[name], num_clips=clips, model=model)
        say(f"questions: {name}")
        print_comparison(found[name])
        write_pictures(found[name], svg=_of_set(svg, name), html=_of_set(html, name))
    rows = _summary(found, chosen)
    print_table(make_console(), tuple(rows[0]), rows, title="Right answers by questions, with 95 % intervals")
    told = {name: comparison_json(one) for name, one in found.items()}
    write_json(
        json_file,
        "bench strategies",
        [{"questions": name, **row} for name, (_, rows) in told.items() for row in rows],
        header={name: header for name, (header, _) in told.items()},
    )


def _compare(
    folder: Path, chosen: Sequence[str], asked: QuestionSet, *, num_clips: int, model: Path | None
) -> Comparison:
    from framegate.pipelines.compare.build import compare_sources
    from framegate.pipelines.compare.told import labels_of_rows
    from framegate.pipelines.lab.bench.strategies import make_strategies, run_strategy

    made = make_strategies(folder, chosen, asked=asked, num_clips=num_clips, model=model)
    done: list[str] = []
    for strategy, path in made.jobs.items():
        say(f"{asked.name}: {strategy}")
        try:
            is_complete = run_strategy(path)
        except FramegateError as error:
            say(f"{strategy} is left out: {error}")
            continue
        if not is_complete:
            raise ConfigError(f"{path} left work undone: run 'framegate run {path}', which says why")
        done.append(str(path))
    if len(done) < 2:
        raise ConfigError(f"{len(done)} of {len(chosen)} strategies ran, and two are needed to compare")
    return compare_sources(find_sources(done, []), labels_of_rows(read_rows(made.labels, option="--labels")))


def _summary(found: Mapping[str, Comparison], chosen: Sequence[str]) -> list[dict[str, object]]:
    """One row for each strategy, one column for each set."""
    cells: dict[str, dict[str, object]] = {strategy: {"strategy": strategy} for strategy in chosen}
    for name, one in found.items():
        verdicts = {pair.job: pair.verdict for pair in one.differences}
        for job in one.jobs:
            mark = _MARKS.get(verdicts.get(job.job, ""), "")
            low, high = job.low or 0.0, job.high or 0.0
            cells[job.job][name] = f"{job.accuracy:.1%} ({low * 100:.0f} to {high * 100:.0f}){mark}"
    return [{**dict.fromkeys(("strategy", *found)), **row} for row in cells.values()]


def _of_set(path: Path | None, name: str) -> Path | None:
    return None if path is None else path.with_stem(f"{path.stem}-{name}")
