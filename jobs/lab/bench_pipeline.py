"""`framegate bench pipeline`: compares whole runs with their decoding alone and their engine alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile, takes_options
from framegate.jobs.printing import make_console, print_line, print_table, write_json
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.pipeline.measure import Measured
    from framegate.schemas.job import Job


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """What is decoded and answered, and how often."""

    clips: Annotated[int, typer.Option(min=1, max=100_000, help="Dock clips that are made for it.")] = 48
    videos: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A video or a folder of videos instead; may be given again."),
    ] = None
    copies: Annotated[int, typer.Option(min=1, max=10_000, help="How often each of --videos is taken.")] = 1
    model: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="A checkpoint.", show_default="dock, or --parameters")
    ] = None
    parameters: Annotated[
        str | None,
        typer.Option(metavar="180M", help="Make a checkpoint of so many random weights.", show_default="none"),
    ] = None
    family: Annotated[str, typer.Option(help="Of that checkpoint: qwen2_5_vl or qwen3_vl.")] = "qwen2_5_vl"
    max_answer_tokens: Annotated[
        int | None, typer.Option(min=1, max=4096, metavar="N", help="As in a job file.", show_default="the source's")
    ] = None
    max_thinking_tokens: Annotated[
        int | None, typer.Option(min=1, max=65_536, metavar="N", help="As in a job file.", show_default="the source's")
    ] = None
    decode_workers: Annotated[int, typer.Option(min=1, max=1000, help="As ray.decode_workers in a job file.")] = 1
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Turns; each has all three runs.")] = 3
    json_file: JsonFile = None


@takes_options
def pipeline(options: PipelineOptions) -> None:
    """Run a job whole, its decoding alone and its engine alone, in turn: is a run as fast as its slower half?

    All three go through the same flow on Ray, in processes of their own. [bold]decode[/bold] has an engine that answers
    at once; [bold]engine[/bold] has units that were decoded before and lie in the object store. seconds begin when all
    processes are there and the model is loaded and has answered once, and end with the last receipt; wall s also hold
    planning, starting and loading. cpu s are those of all processes. Nothing is sealed.

    ratio is the whole by the larger of the two others. 1 would be perfect where each half has processors of its own.
    Where they share them, as on a machine without an accelerator, no flow can be faster than the sum of their cpu s
    over the number of processors: floor is that, by the same larger half, and at least 1.

    The second table is about the engine in the whole runs: seconds in which it was full (as many questions as slots),
    short of questions, or starved, and why.

    Random weights write no box, so that every question thinks to its budget: give --max-thinking-tokens.

    [bold]Examples[/bold]

      framegate bench pipeline --json pipeline.json

      framegate bench pipeline --parameters 180M --max-answer-tokens 8 --max-thinking-tokens 64 --videos ../videos
    """
    from framegate.pipelines.lab.bench.pipeline.measure import measure_turns, open_pipeline
    from framegate.pipelines.lab.bench.pipeline.report import make_rows

    if options.model is not None and options.parameters is not None:
        raise ConfigError("--model and --parameters both name a checkpoint; give one of them")
    console = make_console()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="framegate-bench-pipeline-") as scratch,
        Progress(*columns, console=console) as bars,
    ):
        folder = Path(scratch)
        bar = bars.add_task("making and decoding", total=3 * options.repeats)
        job = _make_job(folder, options)

        def on_measured(one: Measured) -> None:
            bars.update(bar, description=f"turn {one.turn}: {one.kind}", advance=1)

        with open_pipeline(job, folder / "runs") as pipeline:
            turns = measure_turns(pipeline, options.repeats, on_measured=on_measured)
            rows = [row for turn in turns for row in make_rows(turn)]
    _print(console, rows)
    write_json(options.json_file, "bench pipeline", rows)


def _make_job(folder: Path, options: PipelineOptions) -> Job:
    from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
    from framegate.pipelines.lab.bench.engines.shapes import parse_parameters
    from framegate.pipelines.lab.bench.pipeline.jobs import dock_job, videos_job

    budgets = {"max_answer_tokens": options.max_answer_tokens, "max_thinking_tokens": options.max_thinking_tokens}
    parts: dict[str, dict[str, Any]] = {
        "gate": {name: value for name, value in budgets.items() if value is not None},
        "ray": {"decode_workers": options.decode_workers, "reason_actors": {"min": 1, "max": 1}},
    }
    model = options.model
    if options.parameters is not None:
        num_parameters = parse_parameters(options.parameters)
        model = str(make_checkpoint(folder / "checkpoint", options.family, num_parameters, seed=0).folder)
    if model is not None:
        parts["model"] = {"name": model}
    if not options.videos:
        return dock_job(folder / "source", num_clips=options.clips, parts=parts)
    parts = {"model": {"name": "dock"}, **parts}
    return videos_job(folder / "source", options.videos, num_copies=options.copies, parts=parts)


def _print(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    from framegate.pipelines.lab.bench.pipeline.report import engine_states, medians, ratios

    names = {
        "seconds": "seconds", "wall_seconds": "wall s", "cpu_seconds": "cpu s", "num_units": "units",
        "num_clips": "clips", "num_questions": "questions", "num_thinking": "thinking", "num_failures": "failures",
        "ratio": "ratio", "floor": "floor",
    }  # fmt: skip
    shown = [{"run": row["kind"], **{names[name]: row[name] for name in names}} for row in medians(rows, tuple(names))]
    print_table(console, ("run", *names.values()), shown, title="Medians")
    least, middle, most = ratios(rows)
    num_turns = sum(row["kind"] == "whole" for row in rows)
    print_line(console, f"ratio {middle:.3f}, from {least:.3f} to {most:.3f} in {num_turns} turns")
    columns = ("engine", "seconds", "starved", "meaning")
    print_table(console, columns, engine_states(rows), title="The engine in the whole runs")
