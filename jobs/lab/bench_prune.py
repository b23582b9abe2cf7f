"""`framegate bench prune`: measures how many video tokens of films stay, and what prefills of them cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_table, write_json
from framegate.schemas.errors import InputError

HEADINGS = {
    "film": "film",
    "method": "method",
    "value": "value",
    "num_clips": "clips",
    "kept_share": "kept",
    "vision_seconds": "vision s",
    "prefill_seconds": "prefill s",
    "prefill_share": "share",
}


def prune(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Videos beside the made ones.")
    ] = None,
    thresholds: Annotated[
        list[float] | None, typer.Option("--threshold", min=0, max=2, help="Of method: change; several may be given.")
    ] = None,
    rates: Annotated[
        list[float] | None, typer.Option("--rate", min=0, max=0.99, help="Of method: evs; several may be given.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint of your own, in place of a made one.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="As clips.seconds.")] = 30.0,
    family: Annotated[str, typer.Option(help="qwen2_5_vl or qwen3_vl, of the made model.")] = "qwen2_5_vl",
    parameters: Annotated[str, typer.Option(help="Of the made model: 1M, 180M or 7B.")] = "10M",
    dtype: Annotated[str, typer.Option(help="As model.dtype.")] = "float32",
    pixels: Annotated[int, typer.Option(min=3136, help="As frames.max_frame_pixels.")] = 128 * 784,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Of each measurement; the median is told.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """See and prefill clips with and without frames.prune.

    Two made films of a camera that does not move come first: without noise and with a sensor's. kept is the share of
    video tokens that stay; share, the processor's seconds of prefills by those without pruning, with what it takes to
    choose the tokens. Which tokens stay follows from what a vision tower makes of them: take --model for shares of
    yours.

    [bold]Example[/bold]

      framegate bench prune yard.mp4 --threshold 0.1 --rate 0.5 --json prune.json
    """
    from framegate.pipelines.lab.bench.engines.shapes import parse_parameters
    from framegate.pipelines.lab.bench.overlap import Sizes
    from framegate.pipelines.lab.bench.prune import measure_prune
    from framegate.schemas.config import FramesConfig

    given = files or []
    if missing := [str(file) for file in given if not file.is_file()]:
        raise InputError(f"{missing[0]} is no file; name videos on this machine")
    if not thresholds and not rates:
        thresholds, rates = [0.02, 0.1, 0.3], [0.25, 0.5, 0.75]
    frames = FramesConfig(min_frame_pixels=min(pixels, 64 * 784), max_frame_pixels=pixels, max_video_tokens=4096)
    sizes = Sizes(family, parse_parameters(parameters), dtype, seconds, frames)
    figures = measure_prune(
        given, sizes, model=model, thresholds=thresholds or (), rates=rates or (), num_repeats=repeats
    )
    rows = [asdict(figure) for figure in figures]
    print_table(
        make_console(), tuple(HEADINGS.values()), [{head: row[name] for name, head in HEADINGS.items()} for row in rows]
    )
    write_json(json_file, "bench prune", rows)
