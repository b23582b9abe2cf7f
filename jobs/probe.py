"""`framegate probe`: what the decoder sees in a video, or why it sees nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framegate.jobs.options import JsonFile
from framegate.jobs.printing import cell, make_console, print_table, write_json
from framegate.schemas.clip import Video
from framegate.schemas.config import InputConfig
from framegate.schemas.decoding import ClipsConfig, DecodeConfig, FramesConfig
from framegate.schemas.errors import InputError, StorageError, VideoError
from framegate.schemas.job import Job, load_job

if TYPE_CHECKING:
    from framegate.pipelines.decode.estimate import Probed
    from framegate.pipelines.decode.policy import Policy

OK = "ok"
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


def probe(uris: Uris, job: ForJob = None, json_file: JsonFile = None) -> None:
    """What the decoder sees: container, codec, size, clips, frames, tokens, bytes. Changes nothing.

    Verdict is ok, or the reason code that the failures table would show; a video that cannot be decoded is a row like
    any other, and no error of the command. Where clips are scenes, videos are scanned whole. Exit code 2 if the job
    file is wrong.

    [bold]Examples[/bold]

      framegate probe film.mp4 s3://archive/2026/07/

      framegate probe --job job.yaml "s3://archive/shard-{0000..0009}.tar" --json probe.json
    """
    rows = describe(uris, None if job is None else load_job(job))
    write_json(json_file, "probe", rows)
    console = make_console()
    shown = [{**row, "shown": f"{row['width']}x{row['height']}" if row["codec"] else None} for row in rows]
    table = [{"uri": row["uri"], **{name: row[key] for key, name in _COLUMNS.items()}} for row in shown]
    print_table(console, ["uri", *_COLUMNS.values()], table)
    for row in rows:
        if row["message"]:
            console.print(f"{row['uri']}: {cell(row['message'])}", highlight=False, markup=False, soft_wrap=True)


def describe(uris: Sequence[str], job: Job | None) -> list[dict[str, Any]]:
    """One row per video, in the order of `uris`; a name that leads nowhere is a row too. Raises ConfigError."""
    from framegate.pipelines.decode.estimate import probe_videos  # needs the decoders; not needed to print help

    storage_options = {} if job is None else job.config.input.storage_options
    found = [item for uri in uris for item in _find(uri, storage_options)]
    outcomes = iter(
        list(
            probe_videos(
                [video for video, error in found if error is None],
                policy=_policy(job),
                decode=DecodeConfig() if job is None else job.config.decode,
                storage_options=storage_options,
                scans=True,
            )
        )
    )
    return [_row(video, next(outcomes) if error is None else error) for video, error in found]


def _find(uri: str, storage_options: dict[str, Any]) -> Iterator[tuple[Video, StorageError | None]]:
    from framegate.pipelines.source.find import find_videos
    from framegate.pipelines.source.found import to_videos

    try:
        if not uri:
            raise InputError("the name is empty")
        for video in to_videos(find_videos(InputConfig(videos=uri, storage_options=storage_options))):
            yield video, None
    except (InputError, StorageError) as error:
        yield Video(uri=uri, version="", size_bytes=0), StorageError(str(error))


def _policy(job: Job | None) -> Policy:
    from framegate.pipelines.decode.policy import Policy

    if job is None:
        return Policy(frames=FramesConfig(), clips=ClipsConfig())
    from framegate.pipelines.plan.plan import make_policy

    return make_policy(job.config)


def _row(video: Video, outcome: Probed | VideoError | StorageError) -> dict[str, Any]:
    if isinstance(outcome, VideoError | StorageError):
        return {**_EMPTY_ROW, "uri": video.uri, "verdict": outcome.reason, "message": str(outcome)} | (
            {"size_bytes": video.size_bytes} if video.version else {}
        )
    header, estimate = outcome.header, outcome.estimate
    return {
        "uri": video.uri,
        "verdict": "truncated" if header.is_cut_short else OK,
        "message": "The file is shorter than its container says." if header.is_cut_short else "",
        "container": header.container,
        "codec": header.codec,
        "width": header.display_width,
        "height": header.display_height,
        "duration_seconds": header.duration_seconds,
        "fps": header.fps,
        "num_streams": header.num_streams,
        "num_clips": estimate.num_clips,
        "num_frames": estimate.num_frames,
        "num_video_tokens": estimate.num_video_tokens,
        "size_bytes": video.size_bytes,
        "bytes_to_read": estimate.bytes_to_read,
    }


_EMPTY_ROW: dict[str, Any] = dict.fromkeys(
    [
        "uri",
        "verdict",
        "message",
        "container",
        "codec",
        "width",
        "height",
        "duration_seconds",
        "fps",
        "num_streams",
        "num_clips",
        "num_frames",
        "num_video_tokens",
        "size_bytes",
        "bytes_to_read",
    ]
)
