"""`framegate bench pipeline`: whole runs against decoding alone and the engine alone."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.pipelines.reason.occupancy import STATES
from framegate.schemas.errors import ConfigError

if TYPE_CHECKING:
    from framegate.pipelines.lab.bench.pipeline.measure import Measured

STARVED = ("loading", "before_first", "no_unit", "arriving", "leaving")


def pipeline(
    clips: Annotated[int, typer.Option(min=1, max=100_000, help="Dock clips that are made for it.")] = 48,
    videos: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A video or a folder of videos instead; may be given again."),
    ] = None,
    copies: Annotated[int, typer.Option(min=1, max=10_000, help="How often each of --videos is taken.")] = 1,
    model: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="A checkpoint.", show_default="dock, or --parameters")
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option(metavar="180M", help="Make a checkpoint of so many random weights.", show_default="none"),
    ] = None,
    family: Annotated[str, typer.Option(help="Of that checkpoint: qwen2_5_vl or qwen3_vl.")] = "qwen2_5_vl",
    max_answer_tokens: Annotated[
        int | None, typer.Option(min=1, max=4096, metavar="N", help="As in a job file.", show_default="the source's")
    ] = None,
    max_thinking_tokens: Annotated[
        int | None, typer.Option(min=1, max=65_536, metavar="N", help="As in a job file.", show_default="the source's")
    ] = None,
    decode_workers: Annotated[int, typer.Option(min=1, max=1000, help="As ray.decode_workers in a job file.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Turns; each has all three runs.")] = 3,
    json_file: JsonFile = None,
) -> None:
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
    from framegate.pipelines.lab.bench.pipeline.measure import Pipeline, measure_turns

    if model is not None and parameters is not None:
        raise ConfigError("--model and --parameters both name a checkpoint; give one of them")
    console = make_console()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    turns: list[list[Measured]] = []
    with (
        tempfile.TemporaryDirectory(prefix="framegate-bench-pipeline-") as scratch,
        Progress(*columns, console=console) as bars,
    ):
        folder = Path(scratch)
        bar = bars.add_task("making and decoding", total=3 * repeats)
        parts = _parts(folder, model, parameters, family, max_answer_tokens, max_thinking_tokens, decode_workers)
        job = _make_job(folder / "source", clips, videos, copies, parts)

        def on_measured(one: Measured) -> None:
            bars.update(bar, description=f"turn {one.turn}: {one.kind}", advance=1)

        try:
            turns = list(measure_turns(Pipeline(job, folder / "runs"), repeats, on_measured=on_measured))
        finally:
            _stop_ray()
    rows = [row for turn in turns for row in _rows(turn)]
    _print(console, rows)
    write_json(json_file, "bench pipeline", rows)


def _parts(
    folder: Path,
    model: str | None,
    parameters: str | None,
    family: str,
    max_answer_tokens: int | None,
    max_thinking_tokens: int | None,
    decode_workers: int,
) -> dict[str, dict[str, Any]]:
    budgets = {"max_answer_tokens": max_answer_tokens, "max_thinking_tokens": max_thinking_tokens}
    parts: dict[str, dict[str, Any]] = {
        "gate": {name: value for name, value in budgets.items() if value is not None},
        "ray": {"decode_workers": decode_workers, "reason_actors": {"min": 1, "max": 1}},
    }
    if parameters is not None:
        from framegate.pipelines.lab.bench.engines.checkpoint import make_checkpoint
        from framegate.pipelines.lab.bench.engines.shapes import parse_parameters

        made = make_checkpoint(folder / "checkpoint", family, parse_parameters(parameters), seed=0)
        model = str(made.folder)
    if model is not None:
        parts["model"] = {"name": model}
    return parts


def _make_job(
    folder: Path, clips: int, videos: Sequence[Path] | None, copies: int, parts: dict[str, dict[str, Any]]
) -> Any:
    from framegate.pipelines.lab.bench.pipeline.jobs import dock_job, videos_job

    if not videos:
        return dock_job(folder, num_clips=clips, parts=parts)
    return videos_job(folder, videos, num_copies=copies, parts={"model": {"name": "dock"}, **parts})


def _stop_ray() -> None:
    import ray

    ray.shutdown()


def _rows(turn: Sequence[Measured]) -> list[dict[str, Any]]:
    from framegate.pipelines.lab.bench.pipeline.measure import floor, ratio

    return [
        {
            **asdict(one),
            "ratio": ratio(turn) if one.kind == "whole" else None,
            "floor": floor(turn) if one.kind == "whole" else None,
        }
        for one in turn
    ]


def _print(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    names = {
        "seconds": "seconds", "wall_seconds": "wall s", "cpu_seconds": "cpu s", "num_units": "units",
        "num_clips": "clips", "num_questions": "questions", "num_thinking": "thinking", "num_failures": "failures",
        "ratio": "ratio", "floor": "floor",
    }  # fmt: skip
    shown = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        same = [row for row in rows if row["kind"] == kind]
        shown.append({"run": kind, **{head: _median([row[name] for row in same]) for name, head in names.items()}})
    print_table(console, ("run", *names.values()), shown, title="Medians")
    whole = [row for row in rows if row["kind"] == "whole"]
    ratios = sorted(row["ratio"] for row in whole)
    console.print(f"ratio {_median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f} in {len(ratios)} turns")
    states = []
    for state, meaning in STATES.items():
        seconds = _median([row["engine_states"][state] for row in whole])
        states.append({"engine": state, "seconds": seconds, "starved": state in STARVED, "meaning": meaning})
    print_table(console, ("engine", "seconds", "starved", "meaning"), states, title="The engine in the whole runs")


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
