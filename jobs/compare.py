"""`framegate compare`: strategies side by side on labelled rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.label import read_rows
from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, say, write_json
from framegate.jobs.report import write_page
from framegate.jobs.target import find_target
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.compare.figures import Axis, Comparison
    from framegate.pipelines.compare.source import Source

AXES = ("cost", "seconds", "written", "seen")


def compare_command(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="JOB.yaml|OUTPUT_URI...", help="Two jobs or more, or one output.", show_default=False),
    ],
    config_ids: Annotated[
        list[str] | None,
        typer.Option(
            "--config-id", metavar="ID", help="Of one output: these, in this order; repeat it.", show_default="all"
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Right answers, .csv or .jsonl.", show_default="labels of the outputs"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="AXIS",
            help=f"What accuracy is held against in the picture: {', '.join(AXES)}.",
            show_default="cost where all jobs have a price, else seconds",
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture there.", show_default=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page there.", show_default=False)
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Hold the answers of several jobs side by side where people say what is right: how often right, at what cost.

    Compared are the labelled rows that every job was asked. A row that failed, is deferred or cannot be read is wrong.
    Intervals and tests go by videos, since rows of a video go together. Each job is tested against the first one: p
    rows is McNemar's exact test, p videos draws the sign of each video's difference, p Holm adjusts that for all jobs.
    Tokens and seconds are means of a row; cost is of the engine's seconds alone, by cost.gpu_hour of each job. Labels
    are those of the outputs (framegate label), or a file's: rows of video_uri, clip_index, question_id and label, or
    as framegate label exports them. Changes nothing.

    [bold]Exit codes[/bold]

      0  compared

      2  nothing to compare: fewer than two jobs, no labels, other clips, an option is wrong

    [bold]Examples[/bold]

      framegate compare direct.yaml gated.yaml look_again.yaml

      framegate compare direct.yaml gated.yaml --labels labels.csv --html compare.html --svg compare.svg

      framegate compare s3://index/cameras --config-id 0f3a5c7e9b1d2f4a --config-id 1a2b3c4d5e6f7a8b --against written
    """
    from framegate.pipelines.compare.build import compare_sources
    from framegate.pipelines.compare.told import labels_of_rows

    axis = _checked_axis(against)
    sources = find_sources(targets, config_ids or [])
    told = None if labels is None else labels_of_rows(read_rows(labels, option="--labels"))
    found = compare_sources(sources, told, axis=axis)
    print_comparison(found)
    write_comparison(found, svg=svg, html=html, json_file=json_file, command="compare")


def print_comparison(found: Comparison) -> None:
    """The tables: jobs, differences from the first one, questions."""
    from framegate.pipelines.compare.tables import difference_rows, job_rows, question_rows, say_rows

    console = make_console()
    for line in say_rows(found):
        say(line)
    for title, rows in (
        ("Jobs; means of a row, * no other job beats it", job_rows(found)),
        (f"Against {found.jobs[0].job}", difference_rows(found)),
        ("Right answers by question", question_rows(found)),
    ):
        print_table(console, tuple(rows[0]), rows, title=title)


def write_comparison(
    found: Comparison, *, svg: Path | None, html: Path | None, json_file: Path | None, command: str
) -> None:
    """The files that are wanted. Raises StorageError."""
    write_pictures(found, svg=svg, html=html)
    header, rows = comparison_json(found)
    write_json(json_file, command, rows, header=header)


def write_pictures(found: Comparison, *, svg: Path | None, html: Path | None) -> None:
    """The picture and the page, where they are wanted. Raises StorageError."""
    from framegate.pipelines.compare.page import render_comparison
    from framegate.pipelines.compare.picture import draw_comparison

    if svg is not None:
        write_page(svg, str(draw_comparison(found)) + "\n")
        say(f"the picture is {svg}")
    if html is not None:
        write_page(html, render_comparison(found))
        say(f"the page is {html}")


def comparison_json(found: Comparison) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A header, and one row for each job."""
    header = {name: value for name, value in asdict(found).items() if name not in ("jobs", "differences", "questions")}
    pairs = {pair.job: asdict(pair) | {"verdict": pair.verdict} for pair in found.differences}
    header["questions"] = [asdict(one) for one in found.questions]
    return header, [asdict(job) | {"against_first": pairs.get(job.job)} for job in found.jobs]


def find_sources(targets: list[str], config_ids: list[str]) -> list[Source]:
    """Whose answers are meant. Raises ConfigError, ObjectNotFound where there is no output, StorageError."""
    if len(targets) == 1:
        return _of_one(targets[0], config_ids)
    if config_ids:
        raise ConfigError(
            "--config-id chooses among the answers of one output: give one OUTPUT_URI or JOB.yaml with it"
        )
    stems = Counter(Path(name).stem for name in targets)
    return [_of_many(name, Path(name).stem if stems[Path(name).stem] == 1 else name) for name in targets]


def _of_one(name: str, config_ids: list[str]) -> list[Source]:
    from framegate.pipelines.compare.source import Source

    found = find_target(name)
    found.check()
    if twins := [one for one, count in Counter(config_ids).items() if count > 1]:
        raise ConfigError(f"--config-id {twins[0]} is given twice")
    if config_ids:
        chosen = [one for wanted in config_ids for one in found.config_ids(wanted)]
    elif found.is_job:
        raise ConfigError(f"{name} is one job: give a second one, or choose answers of its output with --config-id")
    else:
        chosen = found.config_ids(None)
    sources = [Source(name=one, output=found.config, config_id=one) for one in chosen]
    return [_priced(source, name) for source in sources] if found.is_job else sources


def _of_many(path: str, name: str) -> Source:
    from framegate.pipelines.compare.source import Source

    found = find_target(path)
    found.check()
    if found.is_job:
        return _priced(Source(name=name, output=found.config, job=Path(path).name), path)
    config_ids = found.config_ids(None)
    if len(config_ids) != 1:
        raise ConfigError(
            f"{path} has the answers of {len(config_ids)} config_ids, and one is meant: name the job file, or compare"
            f" them alone: framegate compare {path}"
        )
    return Source(name=path, output=found.config, config_id=config_ids[0])


def _priced(source: Source, path: str) -> Source:
    """With the price that a job file has."""
    from framegate.schemas.job import load_job

    config = load_job(path).config
    return replace(source, cost=config.cost, ray=config.ray)


def _checked_axis(name: str | None) -> Axis | None:
    from framegate.pipelines.compare.front import AXES as known

    if name is None:
        return None
    for axis in known:
        if axis == name:
            return axis
    raise ConfigError(f"--against {name}: give one of {', '.join(known)}")
