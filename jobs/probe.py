"""`framegate probe`: what the decoder sees in a video, or why it sees nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import make_console, print_line, print_table, say, write_json

_COLUMNS = {
    "verdict": "verdict",
    "container": "container",
    "codec": "codec",
    "shown": "size",
    "duration_seconds": "seconds",
    "fps": "fps",
    "num_streams": "streams",
    "num_clips": "clips",
    "num_frames": "frames",
    "num_video_tokens": "tokens",
    "size_bytes": "bytes",
    "bytes_to_read": "to read",
}

Uris = Annotated[
    list[str],
    typer.Argument(
        metavar="URI...", help="Videos, prefixes, globs, manifests, .tar shards or their members.", show_default=False
    ),
]
ForJob = Annotated[
    Path | None,
    typer.Option(
        "--job",
        "-j",
        metavar="JOB.yaml",
        help="Take clips, frames, limits, storage options and the model's grid from this job.",
        show_default="defaults",
    ),
]

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also say what confines decoders on this machine.")]


def probe(uris: Uris, job: ForJob = None, json_file: JsonFile = None, verbose: Verbose = False) -> None:
    """What the decoder sees: container, codec, size, clips, frames, tokens, bytes. Changes nothing.

    Verdict is ok, or the reason code that the failures table would show; a video that cannot be decoded is a row like
    any other, and no error of the command. Where clips are scenes, videos are scanned whole. Exit code 2 if the job
    file is wrong, or its model is none that can be run.

    [bold]Examples[/bold]

      framegate probe film.mp4 s3://archive/2026/07/

      framegate probe --job job.yaml "s3://archive/shard-{0000..0009}.tar" --json probe.json
    """
    from framegate.pipelines.plan.probe import describe_sandbox, probe_uris
    from framegate.schemas.job import load_job

    loaded = None if job is None else load_job(job)
    config, questions = (None, ()) if loaded is None else (loaded.config, loaded.questions)
    rows = [asdict(video) for video in probe_uris(uris, config, questions)]
    write_json(json_file, "probe", rows)
    console = make_console()
    shown = [{**row, "shown": f"{row['width']}x{row['height']}" if row["codec"] else None} for row in rows]
    table = [{"uri": row["uri"], **{name: row[key] for key, name in _COLUMNS.items()}} for row in shown]
    print_table(console, ["uri", *_COLUMNS.values()], table)
    if verbose:
        say(f"sandbox: {describe_sandbox(config)}")
    for row in rows:
        if row["message"]:
            print_line(console, f"{row['uri']}: {row['message']}")
