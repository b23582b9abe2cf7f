"""`framegate bench overlap`: measures what overlapping clips cost, and how much of films is still."""

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
    "num_clips": "clips",
    "decode_seconds": "decode s",
    "decode_seconds_reused": "with reuse",
    "decode_share": "share",
    "vision_seconds": "vision s",
    "vision_seconds_reused": "with reuse ",
    "vision_share": "share ",
    "reused_share": "steps reused",
    "still_share": "still",
    "near_share": "still within 2",
}


def overlap(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Videos beside the made ones.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="As clips.seconds; the stride is half of it.")] = 4.0,
    family: Annotated[str, typer.Option(help="qwen2_5_vl or qwen3_vl.")] = "qwen2_5_vl",
    parameters: Annotated[str, typer.Option(help="Of the made model: 1M, 180M or 7B.")] = "10M",
    dtype: Annotated[str, typer.Option(help="As model.dtype.")] = "bfloat16",
    pixels: Annotated[int, typer.Option(min=3136, help="As frames.max_frame_pixels.")] = 128 * 784,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Of each measurement; the median is told.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Decode and see clips that overlap by half, with and without reuse of what they share.

    Two made films of a camera that does not move come first: without noise and with a sensor's. decode s are
    seconds of the processor for the clips, without opening the file; vision s those of the vision tower of a made
    model, preprocessing included. steps reused is the share of temporal steps that the tower did not run; still, the
    same where clips do not overlap; still within 2, that with frames.same_within: 2.
    Frames and features are compared: they must be the same bit for bit.

    [bold]Example[/bold]

      framegate bench overlap yard.mp4 --seconds 10 --json overlap.json
    """
    from framegate.pipelines.lab.bench.engines.shapes import parse_parameters
    from framegate.pipelines.lab.bench.overlap import Sizes, measure_overlap
    from framegate.schemas.config import FramesConfig

    given = files or []
    if missing := [str(file) for file in given if not file.is_file()]:
        raise InputError(f"{missing[0]} is no file; name videos on this machine")
    frames = FramesConfig(min_frame_pixels=min(pixels, 64 * 784), max_frame_pixels=pixels, max_video_tokens=4096)
    sizes = Sizes(family, parse_parameters(parameters), dtype, seconds, frames)
    figures = measure_overlap(given, sizes, num_repeats=repeats)
    rows = [asdict(figure) for figure in figures]
    print_table(
        make_console(), tuple(HEADINGS.values()), [{head: row[name] for name, head in HEADINGS.items()} for row in rows]
    )
    write_json(json_file, "bench overlap", rows)
